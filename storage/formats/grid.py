"""How a file's voxel grid lies in the patient and on the screen; what writing labels back needs.

Source order is (i, j, k), the fastest axis of the file first: columns, rows, slices. World is RAS+ in mm, as NIfTI
has it (x to the Right, y Anterior, z Superior). Display order is (Z, Y, X): low ends Superior, Anterior, Right.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from storage.formats.base import FileRefused

TOLERANCE_VOXELS = 0.1  # headers are float32 and rounded by tools; a whole voxel is an error
LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # per world axis: at its low and its high end
MOMENTS = "moments"  # beside what a grid says, of films alone
PLAIN = (2, 1, 0)  # display axes of a file that says nothing: slices, rows, columns as they are stored
WORLD_OF_DISPLAY = (
    2,
    1,
    0,
)  # z runs along world axis 2, y along 1, x along 0; all of them downwards or leftwards


@dataclass(frozen=True)
class Grid:
    """The file's grid. `axes[d]` is the source axis that display axis d shows, `flips[d]` whether backwards."""

    format: str  # "nifti", "itk", "dicom", "tiff", "picture", "made"
    shape: tuple[int, int, int]  # (i, j, k) voxels
    axes: tuple[int, int, int] = PLAIN
    flips: tuple[bool, bool, bool] = (False, False, False)
    affine: tuple[tuple[float, ...], ...] | None = (
        None  # 4 x 4, source index -> mm; None where nothing is known
    )
    oriented: bool = False  # the file says where the patient's sides are
    header: dict[str, Any] = field(
        default_factory=dict
    )  # the NIfTI fields that writing must repeat bit for bit

    def to_display(self, source: NDArray[Any]) -> NDArray[Any]:
        """(i, j, k[, 3]) -> C-contiguous (Z, Y, X[, 3])."""
        rest = tuple(range(3, source.ndim))
        turned = np.transpose(source, self.axes + rest)
        return np.ascontiguousarray(np.flip(turned, self._backwards))

    def to_source(self, display: NDArray[Any]) -> NDArray[Any]:
        """(Z, Y, X) -> (i, j, k), the inverse of `to_display`; a view."""
        turned = np.flip(display, self._backwards)
        return np.transpose(turned, [self.axes.index(s) for s in range(3)])

    def file_slice(self, axis: int, index: int) -> tuple[int, int]:
        """A slice of the display as (axis, index) of the file's own array: 0 i, 1 j, 2 k, from 0."""
        source = self.axes[axis]
        return source, self.shape[source] - 1 - index if self.flips[axis] else index

    @property
    def _backwards(self) -> tuple[int, ...]:
        return tuple(d for d in range(3) if self.flips[d])

    @property
    def display_shape(self) -> tuple[int, int, int]:
        z, y, x = (self.shape[a] for a in self.axes)
        return z, y, x

    @property
    def display_affine(self) -> NDArray[np.float64] | None:
        """4 x 4, display index (z, y, x) -> world mm."""
        return None if self.affine is None else np.array(self.affine) @ self.source_of_display

    @property
    def source_of_display(self) -> NDArray[np.float64]:
        """4 x 4, display index (z, y, x) -> source index (i, j, k)."""
        to_source = np.zeros((4, 4))
        to_source[3, 3] = 1
        for d, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            to_source[axis, d] = -1 if flip else 1
            to_source[axis, 3] = self.shape[axis] - 1 if flip else 0
        return to_source

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """(z, y, x)."""
        if (affine := self.display_affine) is None:
            return None
        z, y, x = (float(v) for v in np.linalg.norm(affine[:3, :3], axis=0))
        return z, y, x

    @property
    def marks(self) -> tuple[tuple[str, str], ...] | None:
        """Letters at the low and high end of display z, y, x; None where the file does not say."""
        affine = self.display_affine
        if affine is None or not self.oriented:
            return None
        ends = [LETTERS[int(world)][:: int(sign)] for world, sign in io_orientation(affine)]
        return tuple((low, high) for low, high in ends)

    @property
    def codes(self) -> str:
        """Where the axes of the file run to, as "LPS" for left, posterior, superior; "" where it does not say."""
        if self.affine is None or not self.oriented:
            return ""
        return "".join(
            LETTERS[int(world)][int(sign > 0)] for world, sign in io_orientation(np.array(self.affine))
        )

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Look:
    """What a header says before any pixel is read."""

    grid: Grid
    remarks: tuple[str, ...] = ()  # as those of a scan


def grid_from_json(geometry: dict[str, Any]) -> Grid:
    """Read back what `Grid.json` wrote and JSON made of it. Raises KeyError or TypeError for anything else."""
    affine = geometry["affine"]
    return Grid(
        format=str(geometry["format"]),
        shape=_three(geometry["shape"], int),
        axes=_three(geometry["axes"], int),
        flips=_three(geometry["flips"], bool),
        affine=tuple(tuple(float(v) for v in row) for row in affine) if affine else None,
        oriented=bool(geometry["oriented"]),
        header=dict(geometry["header"]),
    )


def shows_moments(geometry: dict[str, Any]) -> bool:
    """Whether its slices are moments of a film, and no depth: its file or a person said so."""
    return bool(geometry.get(MOMENTS))


def as_moments(geometry: dict[str, Any], on: bool) -> dict[str, Any]:
    """The same geometry, of a film or of a volume."""
    rest = {key: value for key, value in geometry.items() if key != MOMENTS}
    return {**rest, MOMENTS: True} if on else rest


def grid_of_image(
    geometry: dict[str, Any], shape: tuple[int, int, int], spacing_mm: tuple[float, float, float] | None
) -> Grid:
    """The grid of an image of a project; of one that came without geometry, its own display order."""
    if geometry:
        return grid_from_json(geometry)
    z, y, x = shape
    return grid_of(
        "made", (x, y, z), np.diag([*spacing_mm[::-1], 1.0]) if spacing_mm else None, oriented=False
    )


def grid_of(
    format: str,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64] | None,
    *,
    oriented: bool,
    header: dict[str, Any] | None = None,
) -> Grid:
    """The grid of a file, with the display order nearest to the canonical one; an unusable affine is dropped."""
    if affine is None or not usable(affine):
        return Grid(format, shape, header=header or {})
    axes, flips = _display_axes(affine, shape) if oriented else (PLAIN, (False, False, False))
    rows = tuple(tuple(float(v) for v in row) for row in affine)
    return Grid(format, shape, axes, flips, rows, oriented, header or {})


def usable(affine: NDArray[np.float64]) -> bool:
    """Finite, and no axis collapses."""
    matrix = np.asarray(affine, float)[:3, :3]
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(matrix, axis=0)
    return bool((lengths > 0).all() and abs(np.linalg.det(matrix / lengths)) > 1e-3)


def lay_on(labels: NDArray[np.unsignedinteger], own: Grid, image: Grid) -> NDArray[np.unsignedinteger]:
    """Labels in their own display order -> in the image's. Refuses another grid: labels are never resampled."""
    if not (own.oriented and image.oriented):  # nothing to turn by: the files' own order of voxels counts
        labels, own = image.to_display(own.to_source(labels)) if own.shape == image.shape else labels, image
    else:
        labels, own = _turned_like(labels, own, image)
    if labels.shape != image.display_shape:
        raise FileRefused(
            f"its grid is {_times(labels.shape)} and the image's {_times(image.display_shape)} (z, y, x); "
            "resample the mask to the image first"
        )
    if _shift_in_voxels(own, image) > TOLERANCE_VOXELS:
        raise FileRefused("it lies elsewhere in space than the image; resample the mask to the image first")
    return labels


def _turned_like(
    labels: NDArray[np.unsignedinteger], own: Grid, image: Grid
) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """By whole turns, as an image lies on the screen: somebody may have said that its file lies otherwise."""
    first, second = own.display_affine, image.display_affine
    assert first is not None and second is not None  # both are oriented
    turns = io_orientation(np.linalg.solve(second, first))  # per axis of labels: axis of the image, direction
    if np.isnan(turns).any() or (turns == [[0, 1], [1, 1], [2, 1]]).all():
        return labels, own
    order = [int(axis) for axis in np.argsort(turns[:, 0])]  # per axis of the image that of labels
    backwards = tuple(d for d, axis in enumerate(order) if turns[axis, 1] < 0)
    turned = np.ascontiguousarray(np.flip(np.transpose(labels, order), backwards))
    flips = tuple(own.flips[axis] != (turns[axis, 1] < 0) for axis in order)
    return turned, replace(own, axes=_three([own.axes[a] for a in order], int), flips=_three(flips, bool))


def _shift_in_voxels(a: Grid, b: Grid) -> float:
    """How far apart the same display index lies in two grids of one shape, at the worst corner."""
    first, second = a.display_affine, b.display_affine
    if first is None or second is None:
        return 0.0
    shift = np.linalg.solve(first, second) - np.eye(4)
    corners = np.array([[z, y, x, 1] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    corners[:, :3] *= np.array(a.display_shape) - 1
    return float(np.abs(shift @ corners.T).max())


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _display_axes(
    affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Nearest to the canonical order; a single slice lies in the page whatever plane it shows."""
    orientation = io_orientation(affine)  # per source axis: world axis, direction
    worlds = [int(w) for w in orientation[:, 0]]
    order = [worlds.index(w) for w in WORLD_OF_DISPLAY]
    thin = [axis for axis in range(3) if shape[axis] == 1]
    if len(thin) == 1:
        order.sort(key=lambda axis: axis != thin[0])  # stable: the thin axis first, the others as they were
    # every display axis runs away from R, A or S, so a source axis running towards one is shown backwards
    flips = [bool(orientation[axis, 1] > 0) for axis in order]
    return _three(order, int), _three(flips, bool)


def _three(values: Any, kind: type) -> tuple[Any, Any, Any]:
    a, b, c = (kind(v) for v in values)
    return a, b, c
