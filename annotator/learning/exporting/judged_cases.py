"""An exported model on the held-out images, case by case: Dice, distance of surfaces, and a picture of each."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.learning.exported.masks import StagedScan, TrainedModel, mask_of
from annotator.learning.exporting.held_out_truth import HeldOutTruth, held_out_truths, judging_images
from annotator.learning.exporting.pictures import CasePicture, picture_of
from annotator.learning.image_groups import read_groups
from annotator.learning.targets import named_channels
from learners.prediction.metrics import dice_of, overlaps
from learners.prediction.surface import Distances, hausdorff95, surface_distances
from learners.spec import Example
from storage.arrays import UNLABELLED, TornFile, plane
from storage.formats import grid_of_image
from storage.store import Store

SECONDS = 300.0  # for all cases; the first is always judged
WHOLLY = 0.9  # of a slice known, so that surfaces on it can be compared

KnownPart = tuple[int | None, int]  # axis and index of a slice; None for the whole image


@dataclass(frozen=True)
class JudgedCase:
    """One held-out image."""

    name: str
    dice: dict[int, float]  # class -> Dice, where people or the model say that the class is there
    distance: dict[int, float]  # class -> 95 % Hausdorff distance, where both say so
    unit: str  # of the distances: mm, or px where the image has no spacing
    in_slices: bool  # distances within labelled slices, since not all of the image is known
    picture: CasePicture

    @property
    def mean_dice(self) -> float | None:
        return float(np.mean(list(self.dice.values()))) if self.dice else None


@dataclass(frozen=True)
class Judged:
    cases: tuple[JudgedCase, ...]
    left_out: int = 0  # held-out images for which there was no time, or whose pixels are damaged


def judge(store: Store, model: TrainedModel, tell: Callable[[str], None]) -> Judged:
    """Every held-out image that there is time for."""
    wanted, started = len(judging_images(store)), time.monotonic()
    cases: list[JudgedCase] = []
    groups = read_groups(store)
    for number, truth in enumerate(held_out_truths(store, model.classes.ids), start=1):
        if cases and time.monotonic() - started > SECONDS:
            break
        tell(f"judging held-out image {number} of {wanted}")
        try:
            cases.append(_judged(model, truth, groups.get(truth.image.id, "")))
        except TornFile:
            continue
    return Judged(tuple(cases), wanted - len(cases))


def _judged(model: TrainedModel, truth: HeldOutTruth, group: str) -> JudgedCase:
    image, known = truth.image, truth.known
    example = Example(
        image.id,
        image.path,
        image.shape,
        image.channels,
        image.spacing_mm,
        group=group,
        named=named_channels(image),
    )
    grid = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    proposed = mask_of(model, StagedScan(example, grid), lambda share: None).values
    ids = model.classes.ids
    scores = dice_of(overlaps(proposed, known, ids, known != UNLABELLED))
    pieces = list(_pieces(known))
    distances = {c: _distance(proposed == c, known, c, pieces, image.spacing_mm) for c in ids}
    return JudgedCase(
        name=image.name,
        dice={c: float(score) for c, score in zip(ids, scores) if not np.isnan(score)},
        distance={c: found for c, found in distances.items() if found is not None},
        unit="px" if image.spacing_mm is None else "mm",
        in_slices=pieces != [(None, 0)],
        picture=picture_of(image, known, proposed),
    )


def _pieces(known: NDArray[np.uint8]) -> Iterator[KnownPart]:
    """The whole image where everything is known, else its slices that are known nearly wholly."""
    if (known != UNLABELLED).all():
        yield None, 0
        return
    for axis in range(3) if known.shape[0] > 1 else (0,):
        shares = (known != UNLABELLED).mean(tuple(a for a in range(3) if a != axis))
        yield from ((axis, int(index)) for index in np.flatnonzero(shares >= WHOLLY))


def _distance(
    proposed: NDArray[np.bool_],
    known: NDArray[np.uint8],
    class_id: int,
    pieces: Sequence[KnownPart],
    spacing_mm: tuple[float, float, float] | None,
) -> float | None:
    found: list[Distances] = []
    for axis, index in pieces:
        spacing = spacing_mm or (1.0, 1.0, 1.0)
        mine, said = (proposed, known) if axis is None else (plane(v, axis, index) for v in (proposed, known))
        if axis is not None:
            spacing = tuple(mm for a, mm in enumerate(spacing) if a != axis)  # type: ignore[assignment]
        between = surface_distances(mine & (said != UNLABELLED), said == class_id, spacing)
        if between is not None:
            found.append(between)
    return hausdorff95(found)
