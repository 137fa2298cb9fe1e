"""Multi-atlas segmentation: labelled volumes are laid over a new one, and what their labels say there is averaged.

R. A. Heckemann et al., NeuroImage 2006; survey: J. E. Iglesias and M. R. Sabuncu, Medical Image Analysis 2015. Each
atlas is registered to the new volume (`learners/registration.py`) on grids of at most SIDE voxels a side; that is kept
between rounds, so a new label is only laid over and counted anew. Nothing is trained. It is for scans of one anatomy in
about the same frame: where no atlas resembles a volume, background is proposed without certainty.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, zoom

from learners.methods.registration import Brightness, correlation, way_between
from learners.prediction.predict import Tile
from learners.propagate.voxel_graph import coarse_mean
from learners.rounds.own_round import OwnRound
from learners.spec import RoundResult, RoundSpec, Unready
from learners.training.data import ImageReader
from learners.training.round_cache import round_cache
from learners.training.targets import OPEN_BACKGROUND, Classes, without_slices
from storage.array_cache import ArrayCache
from storage.arrays import BACKGROUND, UNLABELLED, open_npy

SIDE = 64  # voxels of the grid on which volumes are laid over each other
MAX_ATLASES = 5  # atlases for one volume: those that resemble it most as they lie
ALIKE = 0.3  # correlation after registration, below which an atlas shows something else
SHARPNESS = 4  # how much more a better fitting atlas counts
FILLED = 0.5  # what a filled voxel counts against one that a person labelled
CARD = "atlas.json"


@dataclass(frozen=True)
class Atlas:
    """A labelled volume."""

    image_id: int
    picture: Brightness  # at most SIDE a side
    labels: NDArray[
        np.float32
    ]  # (K + 1, z, y, x) how much each class is said, background first; 0 where unknown


@dataclass
class Atlases:
    """Predicts whole volumes; what was found for a volume is kept, because it is asked for more than once."""

    atlases: Sequence[Atlas]
    cache: ArrayCache  # the registrations, between rounds
    _found: dict[int, tuple[NDArray[np.float16], NDArray[np.float32]]] = field(default_factory=dict)

    def tiles(self, case: ImageReader) -> Iterator[Tile]:
        """One slice at a time."""
        depth, rows, columns = case.example.shape
        image_id = case.example.image_id
        if image_id not in self._found:
            picture = picture_of(case)
            seen = np.asarray(cv2.resize(picture.mean(0), (8, 8), interpolation=cv2.INTER_AREA)).ravel()
            self._found[image_id] = self._chances(image_id, picture).astype(np.float16), seen
        chances, features = self._found[image_id]
        small = chances.astype(np.float32)
        for z in range(depth):
            cut = _between(small, (z + 0.5) * small.shape[1] / depth - 0.5)
            p = np.stack([cv2.resize(c, (columns, rows), interpolation=cv2.INTER_LINEAR) for c in cut])
            p = p / np.maximum(p.sum(0), 1e-6)
            yield Tile(
                (slice(z, z + 1), slice(0, rows), slice(0, columns)),
                p[:, None].astype(np.float32),
                features,
            )

    def _chances(self, image_id: int, picture: Brightness) -> NDArray[np.float32]:
        """(K + 1, z, y, x) of one volume."""
        count = len(self.atlases[0].labels)
        total = np.zeros((count, *picture.shape), np.float32)
        for atlas, moving in self._nearest(image_id, picture):
            way = way_between(picture, moving, self.cache)
            if way.likeness >= ALIKE:
                parts = np.stack([resized(part, picture.shape) for part in atlas.labels])
                # Its border goes on: else the rim of a volume is in doubt, and people are led to empty slices.
                total += way.likeness**SHARPNESS * way.moved(parts, on=True)
        prior = np.full(count, 1e-3, np.float32)  # where no atlas says anything: background, hardly certain
        prior[0] *= 2
        total += prior[:, None, None, None]
        return total / total.sum(0)

    def _nearest(self, image_id: int, picture: Brightness) -> list[tuple[Atlas, Brightness]]:
        """Those that resemble a volume most as they lie, with their pictures on its grid."""
        others = [a for a in self.atlases if a.image_id != image_id] or list(self.atlases)
        laid = ((atlas, resized(atlas.picture, picture.shape)) for atlas in others)
        return heapq.nlargest(MAX_ATLASES, laid, key=lambda pair: correlation(picture, pair[1]))


def picture_of(case: ImageReader) -> Brightness:
    """A volume's brightness, 0..1, on its grid."""
    z, y, x = case.example.shape
    pixels = case.look((slice(0, z), slice(0, y), slice(0, x))).mean(0)
    return resized(pixels, _grid((z, y, x)))


def atlas_of(case: ImageReader, classes: Classes) -> Atlas:
    """From what people said, and where they said nothing from the volume's fill."""
    example = case.example
    assert example.known is not None
    every = open_npy(example.known)
    said = without_slices(every, example.held)
    weight = np.ones(said.shape, np.float32)
    withheld = (said == UNLABELLED) & (every != UNLABELLED)
    if withheld.any() and (said != UNLABELLED).any():
        weight[withheld] = FILLED
        said = np.where(withheld & ~_beside_object(said), BACKGROUND, said)
    if example.fill is not None and not example.held:  # a fill knows held-out slices
        unsaid = said == UNLABELLED
        said = np.where(unsaid, open_npy(example.fill.classes), said)
        weight[unsaid] = FILLED * np.asarray(open_npy(example.fill.confidence))[unsaid] / 255
    said = np.where(said == OPEN_BACKGROUND, BACKGROUND, said)
    grid = _grid(example.shape)
    parts = [resized(np.where(said == value, weight, 0), grid) for value in (BACKGROUND, *classes.ids)]
    return Atlas(example.image_id, picture_of(case), np.stack(parts))


def _beside_object(said: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(Z, Y, X) where an object is said one voxel away. Of what is withheld elsewhere, background is the better guess:
    a hole would put other volumes in doubt at its place."""
    objects = (said != UNLABELLED) & (said != BACKGROUND) & (said != OPEN_BACKGROUND)
    return np.asarray(distance_transform_edt(~objects) <= 1) if objects.any() else objects


def run(spec: RoundSpec) -> RoundResult:
    """A round: of its own it leaves only which volumes were atlases. Raises Unready, or what went wrong."""
    round_ = OwnRound(spec)
    labelled = [c for c in round_.cases if c.example.known is not None and not c.example.all_held]
    volumes = [c for c in labelled if c.example.shape[0] > 1]
    chosen = [c for c in volumes if c.example.image_id in spec.references] or volumes
    if not chosen:
        raise Unready("atlases need a labelled volume; label some slices of one")
    atlases: list[Atlas] = []
    for case in chosen:
        round_.check_stop()
        round_.report.say("reading atlases", step=len(atlases))
        atlases.append(atlas_of(case, round_.classes))
    ids = {a.image_id for a in atlases}
    # Laid over itself a volume shows a hole where a slice is held out, and not what atlases are worth elsewhere.
    round_.judge_by([c for c in round_.cases if ids - {c.example.image_id}])
    round_.write_card(CARD, {"atlases": [a.image_id for a in atlases]})
    note = f"laid {len(atlases)} labelled volume{'s' if len(atlases) > 1 else ''} over the others"
    return round_.finish(Atlases(atlases, round_cache(spec)), note)


def resized(volume: NDArray, shape: tuple[int, ...]) -> Brightness:
    """Linear, the same extent; of much finer voxels the mean."""
    volume = np.asarray(volume, np.float32)
    if volume.shape == tuple(shape):
        return volume
    z, y, x = (max(1, n // m) for n, m in zip(volume.shape, shape, strict=True))
    volume = coarse_mean(volume, (z, y, x))
    zooms = [n / m for n, m in zip(shape, volume.shape, strict=True)]
    out = zoom(volume, zooms, order=1, grid_mode=True, mode="nearest")
    return np.asarray(out, np.float32)


def _grid(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    z, y, x = (min(n, SIDE) for n in shape)
    return z, y, x


def _between(volume: NDArray[np.float32], z: float) -> NDArray[np.float32]:
    """(C, y, x) at a place between slices of (C, z, y, x)."""
    z = min(max(z, 0.0), volume.shape[1] - 1.0)
    low, share = int(z), z - int(z)
    high = min(low + 1, volume.shape[1] - 1)
    return (1 - share) * volume[:, low] + share * volume[:, high]
