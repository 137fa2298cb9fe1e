"""What a person said about one object, as steps that a server takes one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from annotator.protocol.incoming import Points, PredictMessage, PromptsOnSlice
from storage.arrays import box_around, slice_shape

Extent = tuple[int, int]
Extents = tuple[Extent, Extent, Extent]  # z, y and x, half-open
StepKind = Literal["point", "bbox", "scribble", "lasso"]
PEN = 2  # pixels across: what the network was trained with


@dataclass(frozen=True)
class PromptStep:
    """One click, box, stroke or outline on a slice. Values that are equal mean the same."""

    kind: StepKind
    axis: int
    index: int
    include: bool
    points: Points  # of a box its two corners, half-open

    @property
    def path(self) -> str:
        return f"/add_{self.kind}_interaction"

    def message(self, shape: tuple[int, int, int]) -> tuple[dict[str, Any], NDArray[np.bool_] | None]:
        """What is said, and (z, y, x) the strokes of one that has some, cut to where they are."""
        said: dict[str, Any] = {"include_interaction": self.include}
        rows, columns = slice_shape(shape, self.axis)
        if self.kind == "point":
            row, column = (min(max(round(v), 0), n - 1) for v, n in zip(self.points[0], (rows, columns)))
            at = [row, column]
            at.insert(self.axis, self.index)
            return said | {"coordinates": at}, None
        if self.kind == "bbox":
            (r0, c0), (r1, c1) = self.points
            return said | {"bbox_coords": self._around(_extent(r0, r1, rows), _extent(c0, c1, columns))}, None
        marked = self._drawn((rows, columns))
        box = box_around(marked)
        assert box is not None  # a pen that is put down leaves a mark
        part = np.expand_dims(marked[box.r0 : box.r1, box.c0 : box.c1], self.axis)
        return said | {"interaction_bbox": self._around((box.r0, box.r1), (box.c0, box.c1))}, part

    def _around(self, rows: Extent, columns: Extent) -> Extents:
        ends = [rows, columns]
        ends.insert(self.axis, (self.index, self.index + 1))
        return ends[0], ends[1], ends[2]

    def _drawn(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(rows, columns); what lies outside is moved to the edge."""
        out = np.zeros(shape, np.uint8)
        rc = np.rint(np.array(self.points, np.float64))
        xy = np.clip(rc, 0, np.array(shape) - 1).astype(np.int32)[:, ::-1]
        if self.kind == "lasso":
            cv2.fillPoly(out, [xy], 1)
        cv2.polylines(out, [xy], self.kind == "lasso", 1, PEN if self.kind == "scribble" else 1)
        return out > 0


def _extent(one: float, other: float, end: int) -> Extent:
    """At least one pixel, within the slice."""
    low, high = sorted((round(one), round(other)))
    low = min(max(low, 0), end - 1)
    return low, min(max(high, low + 1), end)


def steps_of(message: PredictMessage) -> tuple[PromptStep, ...]:
    """On the open slice last: the newest of them is most often there."""
    return tuple(step for on in (*message.elsewhere, message) for step in _on_slice(on))


def _on_slice(on: PromptsOnSlice) -> Iterator[PromptStep]:
    """Boxes before clicks, which correct them."""
    where = on.axis, on.index
    if on.box is not None:
        r0, c0, r1, c1 = on.box
        yield PromptStep("bbox", *where, True, ((r0, c0), (r1, c1)))
    for stroke in on.scribbles:
        if stroke.points:
            kind: StepKind = "lasso" if stroke.closed and len(stroke.points) > 2 else "scribble"
            yield PromptStep(kind, *where, bool(stroke.label), stroke.points)
    for point, label in zip(on.points, on.labels):
        yield PromptStep("point", *where, bool(label), (point,))
