"""The grid of regions that a scene is cut into."""

from dataclasses import dataclass
from typing import Any

from storage.arrays import Box3

GridPlace = tuple[int, int, int]  # of a region in the grid: slab, row, column
FLAT, DEEP = (1, 1024, 1024), (128, 256, 256)  # z, y, x
FLAT_MARGIN, DEEP_MARGIN = (0, 64, 64), (8, 16, 16)  # context around a region, as far as the scene goes


@dataclass(frozen=True)
class RegionGrid:
    """Regions of one size; the last ones of a row take what is left, so that none is a mere strip."""

    shape: tuple[int, int, int]  # of the scene: z, y, x
    size: tuple[int, int, int]
    margin: tuple[int, int, int]

    @classmethod
    def usual(cls, shape: tuple[int, int, int]) -> "RegionGrid":
        flat = shape[0] == 1
        return cls(shape, FLAT if flat else DEEP, FLAT_MARGIN if flat else DEEP_MARGIN)

    @property
    def counts(self) -> GridPlace:
        """Slabs, rows and columns of regions."""
        z, y, x = (max(1, (n + side // 2) // side) for n, side in zip(self.shape, self.size, strict=True))
        return z, y, x

    def check(self, place: GridPlace) -> None:
        """Raises LookupError for a place outside the grid."""
        if not all(0 <= at < count for at, count in zip(place, self.counts, strict=True)):
            raise LookupError(f"there is no region {place} in this scene; reload the page")

    def inner(self, place: GridPlace) -> Box3:
        """The part of the scene that this region alone speaks for."""
        z, y, x = (
            slice(at * side, n if at == count - 1 else (at + 1) * side)
            for at, side, n, count in zip(place, self.size, self.shape, self.counts, strict=True)
        )
        return z, y, x

    def outer(self, place: GridPlace) -> Box3:
        """With its margin."""
        z, y, x = (
            slice(max(0, s.start - m), min(n, s.stop + m))
            for s, m, n in zip(self.inner(place), self.margin, self.shape, strict=True)
        )
        return z, y, x

    def name(self, place: GridPlace) -> str:
        """As people count: "r3 c12", and before it the slab of a volume."""
        slab = f"z{place[0] + 1} " if self.counts[0] > 1 else ""
        return f"{slab}r{place[1] + 1} c{place[2] + 1}"

    def json(self) -> dict[str, Any]:
        return {"size": self.size, "margin": self.margin}
