"""What a round makes of its references: closed forms, thresholds from looks that were kept back, seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from learners.methods.reference.align import STEPS, LabelledGrid, Neck, align
from learners.methods.reference.augment import other_look
from learners.methods.reference.head import best_threshold, fit, likeness_of, scaling_of
from learners.methods.reference.model import (
    ClassModel,
    FeatureExtractor,
    Reference,
    View,
    at_size,
    class_map_of,
)
from learners.methods.reference.objects import gate_of, pieces_of
from learners.methods.reference.reference_slices import ReferenceSlice, cells_of, diameter_of, has_object
from learners.methods.reference.reliability import trusted
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.spec import Unready
from models.prompt import PromptModel

LOOKS = 3  # other looks at each reference for thresholds and the neck
ALONE = 0.5  # of the threshold that suits other looks at a single image: on nuclei Dice 0.76 (others 0.64),
# with all of it 0.77 (0.58), without 0.73 (0.68)
ACTIVE = 0.5  # of the likeness that the references' own objects have, from which on an aligned class is there
FEWEST_APART = (
    3  # references that may speak for themselves: of two, one kept back leaves one, and nothing to compare
)
TRIED_ON = 3  # references on which the prompt model is tried, and that are kept back


@dataclass(frozen=True)
class FitOptions:
    """How to learn."""

    class_ids: tuple[int, ...]
    late_ids: tuple[int, ...] = ()
    axis: int = 0
    joined: bool = False
    aligned: bool = False  # train a neck on the references first
    steps: int = STEPS  # of that
    gated: bool = True  # "not here" where what is found looks less like the references than their own objects
    prompt_model: PromptModel | None = None  # asked for borders where that made the references better
    seed: int = 0


AugmentedSlice = tuple[ReferenceSlice, Tensor]  # a slice and its (D, h, w) features, scaled


@dataclass(frozen=True)
class TrainingSlice:
    """A reference slice with its features, and other looks at it."""

    shot: ReferenceSlice
    x: Tensor  # (D, h, w), scaled
    looks: tuple[AugmentedSlice, ...]

    @property
    def all(self) -> tuple[AugmentedSlice, ...]:
        return ((self.shot, self.x), *self.looks)


def learn(shots: Sequence[ReferenceSlice], sight: FeatureExtractor, wish: FitOptions) -> Reference:
    """Raises Unready where the references show no object, or nothing else than it.

    Several pictures may speak for themselves, each at the size of its own objects, and be asked together: one
    discriminant for nuclei of several kinds suits none of them, while one for persons wants all photographs that there
    are (docs/measured/references.md). Where most are not doubted alone, what finds references better that were kept
    back is taken. Slices of scans of one anatomy are learned from together, and so are those that a neck is aligned on.
    """
    groups = [] if wish.joined or wish.aligned else _groups(shots)
    told = [(_sized(group, sight, wish), group) for group in groups] if len(groups) >= FEWEST_APART else []
    told = [(view, group) for view, group in told if view.seen]
    if not _most_sure(told) or not _better_apart(told, shots, sight, wish):
        told = [(view, list(shots))] if (view := _view(shots, sight, wish)).seen else []
    if not told:
        raise Unready("no reference shows both an object and background; complete one slice that shows one")
    reference = _asked_together([view for view, _ in told], wish)
    if wish.prompt_model is not None and _worth_asking(reference, [group for _, group in told], wish):
        reference = replace(reference, prompt_model=wish.prompt_model)
    return reference


def _asked_together(views: Sequence[View], wish: FitOptions) -> Reference:
    return Reference(tuple(views), wish.class_ids, wish.axis, wish.joined)


def _sized(shots: Sequence[ReferenceSlice], sight: FeatureExtractor, wish: FitOptions) -> View:
    """At the size of these slices' own objects."""
    return _view(shots, replace(sight, diameter=diameter_of(shots)), wish)


def _most_sure(told: Sequence[tuple[View, Sequence[ReferenceSlice]]]) -> bool:
    """Whether there are enough views, most of them with no doubted class."""
    sure = [view for view, _ in told if not any(one.doubted for one in view.seen.values())]
    return len(told) >= FEWEST_APART and 2 * len(sure) >= len(told)


def _better_apart(
    told: Sequence[tuple[View, Sequence[ReferenceSlice]]],
    shots: Sequence[ReferenceSlice],
    sight: FeatureExtractor,
    wish: FitOptions,
) -> bool:
    """Whether images that are kept back in turn are found better by the views of the others, each for itself, than by
    one view of all of them."""
    apart, together = [], []
    for view, group in told[:TRIED_ON]:
        image = group[0].image_id
        one = _sized([shot for shot in shots if shot.image_id != image], sight, wish)
        if one.seen:
            kept = [shot for shot in group if shot.image_id == image]
            others = [other for other, _ in told if other is not view]
            together.append(agreement(_asked_together([one], wish), kept))
            apart.append(agreement(_asked_together(others, wish), kept))
    return sum(apart) > sum(together)


def _worth_asking(reference: Reference, groups: Sequence[Sequence[ReferenceSlice]], wish: FitOptions) -> bool:
    """Whether the prompt model's borders make other looks at the references better, each by its own view."""
    plain, asked = [], []
    each = max(1, TRIED_ON // len(groups))
    for view, group in list(zip(reference.views, groups, strict=True))[:TRIED_ON]:
        alone = replace(reference, views=(view,))
        tried = [looks[-1] for looks in _looks(group[:each], wish)]
        plain.append(agreement(alone, tried))
        asked.append(agreement(replace(alone, prompt_model=wish.prompt_model), tried))
    return float(np.mean(asked)) > float(np.mean(plain))


def _groups(shots: Sequence[ReferenceSlice]) -> list[list[ReferenceSlice]]:
    """The slices of each image that shows an object; those of images without one tell every group what is none."""
    showing = sorted({shot.image_id for shot in shots if has_object(shot.values)})
    others = [shot for shot in shots if shot.image_id not in showing]
    return [[shot for shot in shots if shot.image_id == image] + others for image in showing] or [list(shots)]


def _looks(shots: Sequence[ReferenceSlice], wish: FitOptions) -> list[list[ReferenceSlice]]:
    """Each slice as it would look turned and relit."""
    rng = np.random.default_rng(wish.seed)
    return [[other_look(shot, rng) for _ in range(LOOKS)] for shot in shots]


def _view(shots: Sequence[ReferenceSlice], sight: FeatureExtractor, wish: FitOptions) -> View:
    looks = _looks(shots, wish)
    grids = [sight(shot.picture, shot.along) for shot in shots]
    scaling = scaling_of(grids)
    taught = [
        TrainingSlice(
            shot, scaling(grid), tuple((look, scaling(sight(look.picture, look.along))) for look in others)
        )
        for shot, grid, others in zip(shots, grids, looks, strict=True)
    ]
    view = View(sight, scaling, {})
    if wish.aligned:
        neck = _neck(taught, wish)
        taught = [_through(neck, each) for each in taught]
        view = replace(view, neck=neck)
    seen = {value: one for value in wish.class_ids if (one := _class(taught, value, wish)) is not None}
    view = replace(view, seen=seen)
    return _gated(view, taught) if wish.gated else view


def _class(taught: Sequence[TrainingSlice], value: int, wish: FitOptions) -> ClassModel | None:
    """The head of one class, and the threshold that suits cells which a head did not learn from."""
    grids = [_grid(each.x, each.shot, value, wish) for each in taught]
    head = fit(grids)
    if head is None:
        return None
    scores, cells = [], []
    for learned, kept in _folds(taught):
        tried = fit([_grid(x, shot, value, wish) for shot, x in learned]) or head
        for shot, x in kept:
            scores.append(tried.scores(x))
            cells.append(_grid(x, shot, value, wish)[1])
    alone = len(_images(taught)) == 1
    share = ALONE if alone else 1.0
    usual = np.median(np.concatenate([likeness_of(head, x)[c.yes].numpy() for x, c in grids]))
    threshold = share * best_threshold(scores, cells)
    return ClassModel(
        head,
        threshold,
        activation=ACTIVE * float(usual),
        own=not wish.joined,
        doubted=not wish.joined and not wish.aligned and _doubted(grids),
    )


def _doubted(grids: Sequence[LabelledGrid]) -> bool:
    """Whether one reference alone shows the object, and says little of others."""
    showing = [grid for grid in grids if grid[1].yes.any()]
    return len(showing) == 1 and not trusted(*showing[0])


def _images(taught: Sequence[TrainingSlice]) -> list[int]:
    """Those that show an object."""
    return sorted({each.shot.image_id for each in taught if has_object(each.shot.values)})


def _folds(taught: Sequence[TrainingSlice]) -> list[tuple[list[AugmentedSlice], list[AugmentedSlice]]]:
    """Each reference image that shows an object kept back once; of a single one its other looks."""
    images = _images(taught)
    if len(images) == 1:
        return [([(t.shot, t.x) for t in taught], [look for t in taught for look in t.looks])]
    return [
        (
            [(t.shot, t.x) for t in taught if t.shot.image_id != image],
            [(t.shot, t.x) for t in taught if t.shot.image_id == image],
        )
        for image in images
    ]


def _grid(x: Tensor, shot: ReferenceSlice, value: int, wish: FitOptions) -> LabelledGrid:
    return x, cells_of(shot.values, value, value in wish.late_ids, (x.shape[1], x.shape[2]))


def _neck(taught: Sequence[TrainingSlice], wish: FitOptions) -> Neck:
    pairs = []
    for each in taught:
        for value in wish.class_ids:
            grids = [_grid(x, shot, value, wish) for shot, x in each.all]
            pairs.append((grids[0], grids[1:]))
    try:
        return align(pairs, wish.seed, wish.steps).neck
    except ValueError as error:
        raise Unready(str(error)) from None


def _through(neck: Neck, each: TrainingSlice) -> TrainingSlice:
    looks = tuple((shot, neck.apply(x)) for shot, x in each.looks)
    return TrainingSlice(each.shot, neck.apply(each.x), looks)


def _gated(view: View, taught: Sequence[TrainingSlice]) -> View:
    """With the peak from which on a piece of each class is believed, told from the references' own objects."""
    gates = {}
    for value, one in view.seen.items():
        peaks = []
        for each in taught:
            scores = at_size(view.score(value, each.x), each.shot.values.shape)
            pieces = pieces_of(scores, view.sight.diameter)
            peaks += [piece.peak for piece in pieces if (each.shot.values == value)[piece.mask].mean() > 0.5]
        gates[value] = replace(one, gate=gate_of(peaks))
    return replace(view, seen=gates)


def agreement(reference: Reference, shots: Sequence[ReferenceSlice]) -> float:
    """Mean Dice with what is known of these slices; 0 where nothing can be told."""
    scores = []
    for shot in shots:
        known = (shot.values == 0) | np.isin(shot.values, reference.class_ids)
        found = class_map_of(reference, shot)
        scores.append(dice_of(overlaps(found, shot.values, reference.class_ids, known)))
    return mean_dice(scores) or 0.0
