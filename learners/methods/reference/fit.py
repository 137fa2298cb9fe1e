"""What a round makes of its references: closed forms, thresholds from what was kept back, seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from learners.methods.reference.align import STEPS, LabelledGrid, Neck, align
from learners.methods.reference.augment import augmented_slice
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

AUGMENTED_PER_SLICE = 3  # of each reference, for thresholds and the neck
ALONE = 0.5  # of the threshold that suits the augmented slices of a single image: on nuclei Dice 0.76 (others 0.64),
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
    """A reference slice with its features, and as it looks augmented."""

    shot: ReferenceSlice
    x: Tensor  # (D, h, w), scaled
    augmented: tuple[AugmentedSlice, ...]

    @property
    def all(self) -> tuple[AugmentedSlice, ...]:
        return ((self.shot, self.x), *self.augmented)


def learn(shots: Sequence[ReferenceSlice], sight: FeatureExtractor, options: FitOptions) -> Reference:
    """Raises Unready where the references show no object, or nothing else than it.

    Several pictures may speak for themselves, each at the size of its own objects, and be asked together: one
    discriminant for nuclei of several kinds suits none of them, while one for persons wants all photographs that there
    are (docs/measured/references.md). Where most are not doubted alone, what finds references better that were kept
    back is taken. Slices of scans of one anatomy are learned from together, and so are those that a neck is aligned on.
    """
    groups = [] if options.joined or options.aligned else _groups(shots)
    pairs = (
        [(_sized(group, sight, options), group) for group in groups] if len(groups) >= FEWEST_APART else []
    )
    pairs = [(view, group) for view, group in pairs if view.seen]
    if not _most_sure(pairs) or not _better_apart(pairs, shots, sight, options):
        pairs = [(view, list(shots))] if (view := _view(shots, sight, options)).seen else []
    if not pairs:
        raise Unready("no reference shows both an object and background; complete one slice that shows one")
    reference = _asked_together([view for view, _ in pairs], options)
    if options.prompt_model is not None and _worth_asking(reference, [group for _, group in pairs], options):
        reference = replace(reference, prompt_model=options.prompt_model)
    return reference


def _asked_together(views: Sequence[View], options: FitOptions) -> Reference:
    return Reference(tuple(views), options.class_ids, options.axis, options.joined)


def _sized(shots: Sequence[ReferenceSlice], sight: FeatureExtractor, options: FitOptions) -> View:
    """At the size of these slices' own objects."""
    return _view(shots, replace(sight, diameter=diameter_of(shots)), options)


def _most_sure(pairs: Sequence[tuple[View, Sequence[ReferenceSlice]]]) -> bool:
    """Whether there are enough views, most of them with no doubted class."""
    sure = [view for view, _ in pairs if not any(one.doubted for one in view.seen.values())]
    return len(pairs) >= FEWEST_APART and 2 * len(sure) >= len(pairs)


def _better_apart(
    pairs: Sequence[tuple[View, Sequence[ReferenceSlice]]],
    shots: Sequence[ReferenceSlice],
    sight: FeatureExtractor,
    options: FitOptions,
) -> bool:
    """Whether images that are kept back in turn are found better by the views of the others, each for itself, than by
    one view of all of them."""
    apart, together = [], []
    for view, group in pairs[:TRIED_ON]:
        image = group[0].image_id
        one = _sized([shot for shot in shots if shot.image_id != image], sight, options)
        if one.seen:
            kept = [shot for shot in group if shot.image_id == image]
            others = [other for other, _ in pairs if other is not view]
            together.append(agreement(_asked_together([one], options), kept))
            apart.append(agreement(_asked_together(others, options), kept))
    return sum(apart) > sum(together)


def _worth_asking(
    reference: Reference, groups: Sequence[Sequence[ReferenceSlice]], options: FitOptions
) -> bool:
    """Whether the prompt model's borders make augmented references better, each by its own view."""
    plain, asked = [], []
    each = max(1, TRIED_ON // len(groups))
    for view, group in list(zip(reference.views, groups, strict=True))[:TRIED_ON]:
        alone = replace(reference, views=(view,))
        tried = [augmented[-1] for augmented in _augmented(group[:each], options)]
        plain.append(agreement(alone, tried))
        asked.append(agreement(replace(alone, prompt_model=options.prompt_model), tried))
    return float(np.mean(asked)) > float(np.mean(plain))


def _groups(shots: Sequence[ReferenceSlice]) -> list[list[ReferenceSlice]]:
    """The slices of each image that shows an object; those of images without one tell every group what is none."""
    showing = sorted({shot.image_id for shot in shots if has_object(shot.values)})
    others = [shot for shot in shots if shot.image_id not in showing]
    return [[shot for shot in shots if shot.image_id == image] + others for image in showing] or [list(shots)]


def _augmented(shots: Sequence[ReferenceSlice], options: FitOptions) -> list[list[ReferenceSlice]]:
    """Each slice turned and relit, a few times."""
    rng = np.random.default_rng(options.seed)
    return [[augmented_slice(shot, rng) for _ in range(AUGMENTED_PER_SLICE)] for shot in shots]


def _view(shots: Sequence[ReferenceSlice], sight: FeatureExtractor, options: FitOptions) -> View:
    augmented = _augmented(shots, options)
    grids = [sight(shot.picture, shot.along) for shot in shots]
    scaling = scaling_of(grids)
    taught = [
        TrainingSlice(
            shot, scaling(grid), tuple((look, scaling(sight(look.picture, look.along))) for look in others)
        )
        for shot, grid, others in zip(shots, grids, augmented, strict=True)
    ]
    view = View(sight, scaling, {})
    if options.aligned:
        neck = _neck(taught, options)
        taught = [_through(neck, each) for each in taught]
        view = replace(view, neck=neck)
    seen = {value: one for value in options.class_ids if (one := _class(taught, value, options)) is not None}
    view = replace(view, seen=seen)
    return _gated(view, taught) if options.gated else view


def _class(taught: Sequence[TrainingSlice], value: int, options: FitOptions) -> ClassModel | None:
    """The head of one class, and the threshold that suits cells which a head did not learn from."""
    grids = [_grid(each.x, each.shot, value, options) for each in taught]
    head = fit(grids)
    if head is None:
        return None
    scores, cells = [], []
    for learned, kept in _folds(taught):
        tried = fit([_grid(x, shot, value, options) for shot, x in learned]) or head
        for shot, x in kept:
            scores.append(tried.scores(x))
            cells.append(_grid(x, shot, value, options)[1])
    alone = len(_images(taught)) == 1
    share = ALONE if alone else 1.0
    usual = np.median(np.concatenate([likeness_of(head, x)[c.yes].numpy() for x, c in grids]))
    threshold = share * best_threshold(scores, cells)
    return ClassModel(
        head,
        threshold,
        activation=ACTIVE * float(usual),
        own=not options.joined,
        doubted=not options.joined and not options.aligned and _doubted(grids),
    )


def _doubted(grids: Sequence[LabelledGrid]) -> bool:
    """Whether one reference alone shows the object, and says little of others."""
    showing = [grid for grid in grids if grid[1].yes.any()]
    return len(showing) == 1 and not trusted(*showing[0])


def _images(taught: Sequence[TrainingSlice]) -> list[int]:
    """Those that show an object."""
    return sorted({each.shot.image_id for each in taught if has_object(each.shot.values)})


def _folds(taught: Sequence[TrainingSlice]) -> list[tuple[list[AugmentedSlice], list[AugmentedSlice]]]:
    """Each reference image that shows an object kept back once; of a single one its augmented slices."""
    images = _images(taught)
    if len(images) == 1:
        return [([(t.shot, t.x) for t in taught], [each for t in taught for each in t.augmented])]
    return [
        (
            [(t.shot, t.x) for t in taught if t.shot.image_id != image],
            [(t.shot, t.x) for t in taught if t.shot.image_id == image],
        )
        for image in images
    ]


def _grid(x: Tensor, shot: ReferenceSlice, value: int, options: FitOptions) -> LabelledGrid:
    return x, cells_of(shot.values, value, value in options.late_ids, (x.shape[1], x.shape[2]))


def _neck(taught: Sequence[TrainingSlice], options: FitOptions) -> Neck:
    pairs = []
    for each in taught:
        for value in options.class_ids:
            grids = [_grid(x, shot, value, options) for shot, x in each.all]
            pairs.append((grids[0], grids[1:]))
    try:
        return align(pairs, options.seed, options.steps).neck
    except ValueError as error:
        raise Unready(str(error)) from None


def _through(neck: Neck, each: TrainingSlice) -> TrainingSlice:
    augmented = tuple((shot, neck.apply(x)) for shot, x in each.augmented)
    return TrainingSlice(each.shot, neck.apply(each.x), augmented)


def _gated(view: View, taught: Sequence[TrainingSlice]) -> View:
    """With the peak from which on a piece of each class counts, told from the references' own objects."""
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
