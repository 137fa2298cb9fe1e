"""The Gradio page: layout and wiring. Labels and pixels never pass through it; its controls act in the browser."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request

from annotator.exchange.writers import WRITERS, usual_formats
from annotator.page.components import STATIC, STYLES, canvas, panel
from annotator.page.gradio_import import gr

SYSTEM_FONTS = ["ui-sans-serif", "system-ui", "Segoe UI", "Helvetica", "Arial", "sans-serif"]
SYSTEM_MONO = ["ui-monospace", "SFMono-Regular", "Consolas", "monospace"]
QUEUE_SECONDS = 60.0  # between two looks of Gradio's into its queues; 0.001 and 0.01 by itself

# Before the first paint, so that neither theme flashes in the other's colours.
HEAD = """
<style>
  html, body { background: #f2f4f7 }
  html[data-theme=dark], html[data-theme=dark] body { background: #0e1116 }
</style>
<script>
  window.slicewiseRoot = "ROOT";
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = localStorage.getItem("slicewise-theme") ?? (dark ? "dark" : "light");
</script>
"""


def build_page() -> gr.Blocks:
    """The layout: workspace at the left, five tabs at the right."""
    with (
        gr.Blocks(
            title="Slicewise",
            fill_height=True,
            fill_width=True,
            analytics_enabled=False,
            delete_cache=(3600, 3600),
        ) as page,
        gr.Row(elem_id="shell"),
    ):
        with gr.Column(elem_id="center", min_width=600):
            workspace = canvas()
        with gr.Column(elem_id="side", min_width=300), gr.Tabs(elem_id="tabs", selected="label"):
            _label_tab(workspace)
            _images_tab()
            _data_tab()
            _model_tab()
            _learn_tab()
    page.state_session_capacity = 200  # type: ignore[attr-defined]  # closed sessions are kept for an hour
    page.queue(default_concurrency_limit=8, max_size=256)
    # Nothing is ever run through Gradio, and looking for work every few milliseconds keeps an idle server busy.
    page._queue.sleep_when_free = page._queue.progress_update_sleep_when_free = QUEUE_SECONDS
    return page


def mount(api: FastAPI, user_of: Callable[[Request], str | None], root_path: str = "") -> FastAPI:
    """Put the page at the root of the server. `user_of` says who asks; None is refused. `root_path`: what a reverse
    proxy puts before our paths."""
    return gr.mount_gradio_app(
        api,
        build_page(),
        path="/",
        auth_dependency=user_of,
        footer_links=[],
        run_history=False,
        max_file_size="1mb",  # nothing is uploaded through Gradio
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=_theme(),
        css_paths=list(STYLES),
        head=HEAD.replace("ROOT", root_path),
        root_path=root_path or None,
        favicon_path=str(STATIC / "favicon.svg"),
    )


def _theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue="sky",
        neutral_hue="slate",
        radius_size="md",
        spacing_size="sm",
        text_size="sm",
        font=SYSTEM_FONTS,
        font_mono=SYSTEM_MONO,
    ).set(body_background_fill="#f2f4f7", body_background_fill_dark="#0e1116")


def _label_tab(workspace: gr.HTML) -> None:
    with gr.Tab("Label", id="label", elem_id="tab-label", render_children=True):
        panel("panels/classes.js")
        controls: dict[str, Any] = {
            "protect": gr.Checkbox(False, label="Protect other labels", elem_id="protect"),
            "instances": gr.Checkbox(False, label="Number every object", elem_id="instances"),
            "atOnce": gr.Checkbox(False, label="Accept each click at once", elem_id="at-once"),
            "unknown": gr.Checkbox(False, label="Show unknown pixels", elem_id="unknown"),
            "style": gr.Radio(
                [("Both", "both"), ("Fill", "fill"), ("Outline", "outline")],
                value="both",
                label="Show labels as",
                elem_id="style",
                elem_classes="sw-segmented",
            ),
            "opacity": gr.Slider(0, 100, 50, step=1, label="Label opacity", elem_id="opacity", buttons=[]),
            "radius": gr.Slider(0.5, 100, 8, step=0.5, label="Brush radius", elem_id="radius", buttons=[]),
        }
        for name, control in controls.items():
            _in_browser(control.input, [control], f"(value) => window.slicewise?.set('{name}', value)")
        names = list(controls)
        workspace.settings(  # type: ignore[attr-defined]  # an event that Gradio reads from the component's script
            None,
            None,
            list(controls.values()),
            js=f"() => window.slicewise.settings({names})",
            show_progress="hidden",
        )


def _images_tab() -> None:
    with gr.Tab("Images", id="images", elem_id="tab-images", render_children=True):
        panel("panels/images.js", elem_id="images")


def _data_tab() -> None:
    with gr.Tab("Data", id="data", elem_id="tab-data", render_children=True):
        gr.HTML("<h2>Import images</h2>", elem_classes="sw-heading")
        panel("panels/data.js", "mountImport")
        panel("panels/data.js", "mountJobs")
        gr.HTML("<h2>Export labels</h2>", elem_classes="sw-heading")
        formats = gr.CheckboxGroup(
            [(entry.title, name) for name, entry in WRITERS.items()],
            value=list(usual_formats()),
            label="Formats",
            elem_id="export-formats",
        )
        which = gr.Radio(
            [("All images", "all"), ("Open image", "open")],
            value="all",
            label="Images to export",
            elem_id="export-which",
            elem_classes="sw-segmented",
        )
        unknown = gr.Radio(
            [("Background (0)", "zero"), ("Ignore (255)", "ignore")],
            value="zero",
            label="Write unlabelled pixels as",
            elem_id="export-unknown",
            elem_classes="sw-segmented",
        )
        button = gr.Button("Export labels", variant="primary", size="md", elem_id="export-button")
        _in_browser(
            button.click,
            [formats, unknown, which],
            "(formats, unknown, which) => void window.slicewise?.export(formats, unknown, which)",
        )
        gr.HTML("<h2>Undo and repair</h2>", elem_classes="sw-heading")
        panel("panels/repair.js")
        gr.HTML("<h2>Back up</h2>", elem_classes="sw-heading")
        panel("panels/backup.js")
        gr.HTML("<h2>Other tools</h2>", elem_classes="sw-heading")
        panel("panels/tools.js")


def _model_tab() -> None:
    with gr.Tab("Model", id="model", elem_id="tab-model", render_children=True):
        gr.HTML("<h2>Prompt models</h2>", elem_classes="sw-heading")
        panel("panels/prompt_models.js")


def _learn_tab() -> None:
    with gr.Tab("Learn", id="learn", elem_id="tab-learn", render_children=True):
        gr.HTML("<h2>Learners</h2>", elem_classes="sw-heading")
        panel("panels/learn/panel.js")
        gr.HTML("<h2>Most useful to label next</h2>", elem_classes="sw-heading sw-proposes")
        panel("panels/label_queue.js")
        gr.HTML("<h2>Final model</h2>", elem_classes="sw-heading sw-proposes")
        panel("panels/learn/final.js", elem_id="final-model")
        gr.HTML("<h2>Tags instead of drawing</h2>", elem_classes="sw-heading")
        panel("panels/tags.js")
        gr.HTML("<h2>How volumes are filled</h2>", elem_classes="sw-heading sw-proposes")
        panel("panels/learn/choice.js", "mountPropagators")


def _in_browser(event: Callable[..., Any], inputs: list[Any], js: str) -> None:
    """Run a script on an event without a word to the server."""
    event(None, inputs, None, js=js, show_progress="hidden", queue=False, api_visibility="private")
