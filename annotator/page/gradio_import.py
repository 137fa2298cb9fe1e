"""Gradio, imported once: without its network, and without the type stubs that take half of its import.

Gradio (6.31) parses the source of each of its components at import, to write a `.pyi` file beside it for editors. It
leaves that out where a class has no source file, so none of its classes has one meanwhile.
"""

import inspect
import os
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

_file_of = inspect.getfile


def _file_of_others(thing: Any) -> str:
    if isinstance(thing, type) and thing.__module__.startswith("gradio."):
        raise OSError("no stubs are wanted")
    return _file_of(thing)


inspect.getfile = _file_of_others  # type: ignore[assignment]
import gradio as gr  # noqa: E402

inspect.getfile = _file_of

__all__ = ["gr"]
