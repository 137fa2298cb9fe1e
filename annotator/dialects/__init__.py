"""The dialects of other tools that the server answers, each under its own name. Off until somebody switches them on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.lazy import LazyFunction


@dataclass(frozen=True)
class DialectEntry:
    """One dialect. The patterns are of paths below its name."""

    title: str  # of the tools that speak it
    paste: str  # where in them the address goes
    make: LazyFunction  # AppContext -> APIRouter
    strangers: str = r"(?!)"  # what answers before somebody signed in: never more than how to
    files: str = r"(?!)"  # what takes files, on disk and not in memory
    body_limit: int = 1 << 20  # bytes of any other request


DIALECTS: dict[str, DialectEntry] = {
    "monai": DialectEntry(
        title="3D Slicer and other clients of MONAI Label",
        paste="In 3D Slicer: module MONAI Label, MONAI Label server.",
        make=LazyFunction("annotator.dialects.monai.router:make_router"),
        strangers=r"/?|/auth/?|/auth/token",
        files=r"/datastore/?|/datastore/(image|label)|/session/?|/infer/[^/]+",
    ),
    "nninteractive": DialectEntry(
        title="nnInteractive in napari, 3D Slicer and MITK",
        paste="In napari: nnInteractive, Remote, Server URL.",
        make=LazyFunction("annotator.dialects.nninteractive.router:make_router"),
        strangers=r"/healthz",
        files=r"/set_image|/add_(scribble|lasso|initial_seg)_interaction",
    ),
    "itksnap": DialectEntry(
        title="ITK-SNAP",
        paste="In ITK-SNAP: Deep Learning Segmentation, server, address and port of this computer.",
        make=LazyFunction("annotator.dialects.itksnap.router:make_router"),
        files=r"(/v2)?/upload_raw/[^/]+|/process_(scribble|lasso)_interaction/[^/]+",
    ),
    "labelstudio": DialectEntry(
        title="Label Studio",
        paste="In Label Studio: Settings, Model, Backend URL; for labels back, Webhooks with /webhook after it.",
        make=LazyFunction("annotator.dialects.labelstudio.router:make_router"),
        body_limit=32 << 20,
    ),
}


@dataclass(frozen=True)
class ServedPath:
    """A path of a dialect that is switched on."""

    entry: DialectEntry
    below: str  # the path after the dialect's name

    @property
    def open_to_strangers(self) -> bool:
        return bool(re.fullmatch(self.entry.strangers, self.below))

    @property
    def takes_files(self) -> bool:
        return bool(re.fullmatch(self.entry.files, self.below))


def served_path(path: str, serve: Iterable[str]) -> ServedPath | None:
    """None for a path of no dialect that is switched on."""
    name, slash, rest = path.removeprefix("/").partition("/")
    return ServedPath(DIALECTS[name], slash + rest) if name in serve else None


def check_served(serve: Iterable[str]) -> None:
    """Raises ValueError for a name that is none."""
    if unknown := [name for name in serve if name not in DIALECTS]:
        raise ValueError(f"there is no dialect {unknown[0]!r} to serve; there are: {', '.join(DIALECTS)}")


def offered(serve: Iterable[str]) -> list[dict[str, Any]]:
    """Every dialect, for the page."""
    served = set(serve)
    return [
        {"name": name, "title": e.title, "paste": e.paste, "on": name in served}
        for name, e in DIALECTS.items()
    ]
