"""The parts of the page that are our own: HTML components that load a module of `static/` into themselves."""

from pathlib import Path
from typing import Any

import gradio as gr

STATIC = Path(__file__).parent / "static"
STYLES = tuple(STATIC / name for name in ("shell.css", "panels.css", "gradio.css"))


class Canvas(gr.HTML):
    """The whole workspace: tools, canvas, status. Raises `settings` when keys changed a view setting."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            html_template='<div class="sw"></div>',
            js_on_load=_load("workspace.js", "mount(element, trigger)") + " /* 'settings' */",
            apply_default_css=False,
            elem_id="canvas",
            **kwargs,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


class Panel(gr.HTML):
    """One list of the side panel, filled by `function` of `module`."""

    def __init__(self, module: str, function: str = "mount", **kwargs: Any) -> None:
        super().__init__(
            html_template='<div class="sw-panel"></div>',
            js_on_load=_load(module, f"{function}(element)"),
            apply_default_css=False,
            **kwargs,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


def _load(module: str, call: str) -> str:
    return f"import('/ui/{module}').then(m => m.{call}).catch(error => console.error(error))"
