"""Gradio, imported once: without its network, and without the type stubs that take half of its import.

Gradio (6.31) parses the source of each of its components at import, to write a `.pyi` file beside it for editors. It
leaves that out where a class has no source file, so none of its classes has one meanwhile.
"""

import inspect
import os
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")  # read by any case

_file_of = inspect.getfile


def _file_of_others(thing: Any) -> str:
    if isinstance(thing, type) and thing.__module__.startswith("gradio."):
        raise OSError("no stubs are wanted")
    return _file_of(thing)


# Gradio makes its HTTP clients at import, and fails on what httpx does not know: socks5://, NO_PROXY=fe80::/10. The
# page asks nobody outside, so they need none; downloads of our own read the settings again.
_proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower() in PROXIES}
inspect.getfile = _file_of_others  # type: ignore[assignment]
try:
    import gradio as gr
finally:
    inspect.getfile = _file_of
    os.environ.update(_proxies)

__all__ = ["gr"]
