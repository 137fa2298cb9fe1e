"""The clicks, boxes and strokes in the parameters of a question, in display order."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.dialects.subjects import Subject
from annotator.dialects.volume_masks import VolumeClicks, VolumeStrokes, VoxelIndex
from annotator.labels.commit import Refused
from storage.formats import Grid

MOST = 1000  # clicks in one question
_Voxels = list[VoxelIndex]


def asked_of(params: Mapping[str, Any], subject: Subject, *, flat: bool) -> VolumeClicks:
    """`flat`: of one slice of the file, whose number may be said. Points are voxels (i, j, k) of the file. Raises
    ValueError, Refused."""
    label = str(params.get("label") or "object")
    named = params.get("foreground") if "foreground" in params else params.get(label)
    fore, back = _points(named), _points(params.get("background"))
    if flat:
        fore, back = _on_one_slice(params.get("slice"), fore, back)
    box = _box(params.get("roi"), subject.grid)
    if not fore and box is None:
        raise Refused("click on the object first; clicks beside it come after that")
    on, beside = (tuple(_display(subject.grid, point) for point in points) for points in (fore, back))
    return VolumeClicks(label, on, beside, box)


def _on_one_slice(said: Any, fore: _Voxels, back: _Voxels) -> tuple[_Voxels, _Voxels]:
    """The plugin sends the clicks of all slices where the open one is the first."""
    number = said if type(said) is int and said >= 0 else (fore or back or [(0, 0, 0)])[-1][2]
    return [p for p in fore if p[2] == number], [p for p in back if p[2] == number]


def _points(given: Any) -> list[VoxelIndex]:
    if given in (None, ""):
        return []
    if not isinstance(given, list) or len(given) > MOST:
        raise ValueError(f"clicks are a list of at most {MOST} voxels (i, j, k)")
    return [_voxel(one) for one in given]


def _voxel(one: Any) -> VoxelIndex:
    if not isinstance(one, list) or len(one) not in (2, 3) or not all(_is_number(v) for v in one):
        raise ValueError("a click is three numbers, its voxel (i, j, k)")
    i, j, k = (round(float(v)) for v in [*one, 0][:3])
    return i, j, k


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9


def _display(grid: Grid, voxel: VoxelIndex) -> VoxelIndex:
    """(i, j, k) of the file -> (z, y, x) on the screen."""
    z, y, x = (
        grid.shape[axis] - 1 - voxel[axis] if flip else voxel[axis]
        for axis, flip in zip(grid.axes, grid.flips, strict=True)
    )
    return z, y, x


def _box(roi: Any, grid: Grid) -> tuple[VoxelIndex, VoxelIndex] | None:
    """Lowest and highest voxel of [i0, i1, j0, j1, k0, k1], both in it; None for none."""
    if not roi:
        return None
    if not isinstance(roi, list) or len(roi) != 6 or not all(_is_number(v) for v in roi):
        raise ValueError("a box is six numbers: i from and to, j from and to, k from and to")
    ends = [sorted((round(float(a)), round(float(b)))) for a, b in zip(roi[::2], roi[1::2], strict=True)]
    inside = [
        (min(max(low, 0), n - 1), min(max(high, 0), n - 1))
        for (low, high), n in zip(ends, grid.shape, strict=True)
    ]
    corners = [_display(grid, (inside[0][end], inside[1][end], inside[2][end])) for end in (0, 1)]
    low, high = (tuple(f(a, b) for a, b in zip(*corners, strict=True)) for f in (min, max))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def strokes_of(
    params: Mapping[str, Any], values: NDArray[np.unsignedinteger], names: Mapping[int, str]
) -> VolumeStrokes:
    """`values`: every segment of the tool and its strokes on the image's grid. Raises ValueError, Refused."""
    numbers = {name: value for value, name in names.items()}
    wanted = str(params.get("selected_label_name") or "")
    if missing := [n for n in ("background_scribbles", "foreground_scribbles") if n not in numbers]:
        raise ValueError(f"label_info does not say which value is {missing[0]}")
    fore = values == numbers["foreground_scribbles"]
    if not fore.any():
        raise Refused("draw a stroke on the object first")
    before = values == numbers[wanted] if wanted in numbers else np.zeros(values.shape, np.bool_)
    return VolumeStrokes(fore, values == numbers["background_scribbles"], before)
