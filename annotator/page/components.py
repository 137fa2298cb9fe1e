"""The parts of the page that are our own: HTML components that load a module of `static/` into themselves.

Functions, not subclasses of gr.HTML: for a subclass Gradio writes a .pyi file beside its source at each import.
"""

from pathlib import Path

from annotator.page.gradio_import import gr

STATIC = Path(__file__).parent / "static"
SHEETS = (
    "base controls topbar toolbar statusbar proposalbar stage dialogs toasts classes images image_table jobs "
    "prompt_models learners plot choices label_queue tag_grid scenes/map gradio"
).split()  # in this order: of rules of one weight the last counts
STYLES = tuple(STATIC / "styles" / f"{name}.css" for name in SHEETS)


def canvas() -> gr.HTML:
    """The whole workspace: tools, canvas, status. Raises `settings` when keys changed a view setting."""
    return gr.HTML(
        html_template='<div class="sw"></div>',
        js_on_load=_load("workspace/workspace.js", "mount(element, trigger)") + " /* 'settings' */",
        apply_default_css=False,
        elem_id="canvas",
    )


def panel(module: str, function: str = "mount", *, elem_id: str | None = None) -> gr.HTML:
    """One list of the side panel, filled by `function` of `module`."""
    return gr.HTML(
        html_template='<div class="sw-panel"></div>',
        js_on_load=_load(module, f"{function}(element)"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def _load(module: str, call: str) -> str:
    address = f"(window.slicewiseRoot ?? '') + '/ui/{module}'"  # set in the page's head
    return f"import({address}).then(m => m.{call}).catch(error => console.error(error))"
