"""One image of a project as arrays, all in display order: (Z, Y, X), Z = 1 for a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicewise.labels import SpokenLabels, add_labels
from slicewise.stores import reading, writing
from storage.arrays import open_npy
from storage.fold import Folded, fold
from storage.formats import grid_of_image
from storage.rows import ImageRow

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class ProjectImage:
    """Arrays are read when they are asked for: labels as they are then."""

    root: Path = field(repr=False)
    row: ImageRow = field(repr=False)

    def __repr__(self) -> str:
        return f"<image {self.id} {self.name!r} {self.shape}>"

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        return self.row.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """(z, y, x); None where the file does not say."""
        return self.row.spacing_mm

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """4 x 4, (z, y, x) to mm in the patient: right, anterior, superior; None where the file does not say."""
        return grid_of_image(self.row.geometry, self.row.shape, self.row.spacing_mm).display_affine

    @property
    def pixels(self) -> NDArray[Any]:
        """(Z, Y, X) or (Z, Y, X, C), memory-mapped and read-only."""
        return open_npy(self.row.path)

    @property
    def channels(self) -> dict[str, NDArray[Any]]:
        """(Z, Y, X) of each channel by its name, in its own type, memory-mapped and read-only; empty where the image
        has none. `pixels` shows all of them in colours."""
        return {channel.name: open_npy(channel.path) for channel in self.row.named}

    def labels(self) -> NDArray[np.uint8]:
        """(Z, Y, X) values of classes, 0 background, UNLABELLED where nobody said anything."""
        return self._folded().known()

    def objects(self) -> NDArray[np.uint16]:
        """(Z, Y, X) object numbers, 0 for none."""
        numbers = self._folded().instances
        return np.zeros(self.shape, np.uint16) if numbers is None else numbers

    def proposal(self) -> NDArray[np.uint8] | None:
        """(Z, Y, X) values of classes that the newest fill or model proposes, UNLABELLED where it proposes nothing;
        None where there is no proposal."""
        with reading(self.root) as store:
            row = store.predictions.newest(self.id)
        return None if row is None else row.classes()

    def add_labels(
        self,
        classes: NDArray[np.integer[Any]],
        objects: NDArray[np.integer[Any]] | None = None,
        *,
        names: Mapping[int, str] | None = None,
    ) -> int:
        """Say what voxels are, as one step that *Repair* takes back; how many slices changed.

        `classes`: (Z, Y, X), (Y, X) for a picture; UNLABELLED says nothing, and what is said already is not said again.
        Values are those of `Project.classes`, or of `names`, which adds classes that are missing. Raises ValueError.
        """
        with writing(self.root) as store:
            return add_labels(store, self.row, SpokenLabels(classes, objects, names))

    def to_xarray(self) -> "xarray.Dataset":
        """Pixels and labels, and a proposal where there is one, with places in mm where the spacing is known. Raises
        ImportError where xarray is not installed."""
        import xarray

        axes = ("z", "y", "x")
        pixels = self.pixels
        held: dict[str, Any] = {"pixels": ((*axes, "channel")[: pixels.ndim], pixels)}
        held["labels"] = (axes, self.labels())
        if (proposal := self.proposal()) is not None:
            held["proposal"] = (axes, proposal)
        widths = self.spacing_mm or (1.0, 1.0, 1.0)
        places = {axis: np.arange(n) * mm for axis, n, mm in zip(axes, self.shape, widths)}
        unit = "pixel" if self.spacing_mm is None else "mm"
        return xarray.Dataset(held, places, {"name": self.name, "unit": unit})

    def _folded(self) -> Folded:
        with reading(self.root) as store:
            return fold(self.shape, store.labels(self.id))
