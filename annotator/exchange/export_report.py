"""What goes along with exported masks: provenance for programs, a README for people."""

import importlib.metadata
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from storage.formats import Grid
from storage.rows import ClassRow, ImageRow, LabelRow
from storage.tags import TagRow

PLANES = ("z", "y", "x")
FILE_AXES = ("i", "j", "k")
MAX_TEXT = 200


@dataclass(frozen=True)
class ExportedClasses:
    """The classes, and the value of each in the files."""

    classes: Sequence[ClassRow]
    values: Mapping[int, int]


@dataclass(frozen=True)
class ExportedImage:
    """One image as it was exported."""

    image: ImageRow
    grid: Grid
    labels: tuple[LabelRow, ...]
    present: tuple[int, ...]  # class ids with at least one voxel
    share_known: float  # of its voxels
    problems: tuple[str, ...] = ()
    told: list[str] = field(default_factory=list)  # what formats cannot hold of it
    files: list[str] = field(default_factory=list)

    def slices(self, kind: str | None = None) -> dict[int, list[int]]:
        """Display axis -> indices with a label event (of one kind)."""
        found: dict[int, set[int]] = {}
        for label in self.labels:
            if kind in (None, label.kind):
                found.setdefault(label.axis, set()).add(label.index)
        return {axis: sorted(indices) for axis, indices in sorted(found.items())}


@cache
def version() -> str:
    """Of this program, from its project file or, where pip installed it, from what pip noted."""
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    try:
        return str(tomllib.loads(path.read_text("utf-8"))["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return _installed_version()


def _installed_version() -> str:
    try:
        return importlib.metadata.version("slicewise")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def provenance(
    project: str,
    exported: list[ExportedImage],
    told: ExportedClasses,
    ignore: int | None,
    tags: Sequence[TagRow] = (),
) -> dict[str, Any]:
    """Where every label came from, as JSON. Slices are given in display order and in the file's own axes; those of
    tags, which may be about images without a mask, in display order."""
    return {
        "tool": "Slicewise",
        "version": version(),
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "project": project,
        "unknown_value": 0 if ignore is None else ignore,
        "unknown_is_background": ignore is None,
        "classes": [
            {"id": c.id, "value": told.values[c.id], "name": c.name, "color": c.color} for c in told.classes
        ],
        "images": [_image(one) for one in exported],
        "tags": [_tag(tag) for tag in tags],
    }


def readme(exported: list[ExportedImage], ignore: int | None, left_out: int) -> str:
    """The same in words."""
    unknown = "0, like background" if ignore is None else str(ignore)
    lines = [
        "Labels exported by Slicewise " + version(),
        "",
        "labels.csv       which value is which class",
        "provenance.json  where every label came from",
        f"Voxels that nobody labelled are written as {unknown}.",
        "Slices are counted from 0 along the axes of the image file: i is the fastest, k the slowest.",
        "",
    ]
    for one in exported:
        lines += _in_words(one)
    if left_out:
        lines += ["", f"{left_out} images without any label are not part of this export."]
    return "\n".join(lines) + "\n"


def _image(one: ExportedImage) -> dict[str, Any]:
    image = one.image
    return {
        "id": image.id,
        "name": image.name,
        "source": image.source,
        "modality": image.modality,
        "files": one.files,
        "shape_zyx": list(image.shape),
        "spacing_mm_zyx": image.spacing_mm,
        "grid": {
            "format": one.grid.format,
            "shape_ijk": list(one.grid.shape),
            "display_axes": list(one.grid.axes),
            "display_flips": list(one.grid.flips),
            "affine_ras_mm": one.grid.affine,
        },
        "classes": list(one.present),
        "share_known": round(one.share_known, 6),
        "slices_labelled": _by_plane(one.slices()),
        "slices_complete": _by_plane(one.slices("complete")),
        "problems": [*one.problems, *one.told],
        "labels": [_label(label, one.grid) for label in one.labels],
    }


def _by_plane(slices: dict[int, list[int]]) -> dict[str, list[int]]:
    return {PLANES[axis]: indices for axis, indices in slices.items()}


def _label(label: LabelRow, grid: Grid) -> dict[str, Any]:
    axis, index = grid.file_slice(label.axis, label.index)
    box = label.box
    return {
        "id": label.id,
        "event": label.client_id,
        "kind": label.kind,
        "source": label.source,
        "author": label.author,
        "seconds": label.seconds,
        "created_at": label.created_at,
        "axis": PLANES[label.axis],
        "index": label.index,
        "file_axis": FILE_AXES[axis],
        "file_index": index,
        "box": [box.r0, box.c0, box.r1, box.c1] if box else None,
        "classes": list(label.classes),
        "instance": label.instance,
        "prompts": _summary(label.prompts),
    }


def _tag(tag: TagRow) -> dict[str, Any]:
    return {
        "id": tag.id,
        "event": tag.client_id,
        "image": tag.ref.image_id,
        "axis": PLANES[tag.ref.axis],
        "index": tag.ref.index,
        "classes": list(tag.classes),
        "present": tag.present,
        "source": tag.source,
        "author": tag.author,
        "seconds": tag.seconds,
        "created_at": tag.created_at,
    }


def _summary(prompts: dict[str, Any]) -> dict[str, Any]:
    """Texts and numbers as they are, lists by their length: enough to say how a mask was made."""
    short: dict[str, Any] = {}
    for key, value in prompts.items():
        if isinstance(value, str):
            short[key] = value[:MAX_TEXT]
        elif value is None or isinstance(value, bool | int | float):
            short[key] = value
        else:
            short[key] = len(value)
    return short


def _in_words(one: ExportedImage) -> list[str]:
    """Whether an image is labelled throughout, and if it is not, which slices are."""
    share = one.share_known
    extent = "every voxel is known" if share == 1 else f"{share:.1%} of its voxels are known"
    lines = [f"{one.image.name} (image {one.image.id}): {extent}; files {', '.join(one.files)}"]
    if one.image.is_volume and share < 1:
        complete = one.slices("complete")
        for axis, indices in one.slices().items():
            done = complete.get(axis, [])
            partly = [i for i in indices if i not in set(done)]
            lines += _listed(one, axis, done, "complete") + _listed(one, axis, partly, "partly labelled")
    return lines + [f"    attention: {problem}" for problem in (*one.problems, *one.told)]


def _listed(one: ExportedImage, axis: int, indices: list[int], what: str) -> list[str]:
    if not indices:
        return []
    places = [one.grid.file_slice(axis, index) for index in indices]
    return [f"    {what}: {FILE_AXES[places[0][0]]} = {_ranges(sorted(i for _, i in places))}"]


def _ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 -> "1-3, 7"."""
    breaks = [0, *(n for n in range(1, len(numbers)) if numbers[n] != numbers[n - 1] + 1), len(numbers)]
    runs = [(numbers[a], numbers[b - 1]) for a, b in zip(breaks, breaks[1:])]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
