"""How good the model is that people see of a learner: the one number for page, command line, card and comparison."""

from dataclasses import dataclass, field

from annotator.learning.quality.held_out import WHOLE, would_hold_out
from learners.objects.scores import ObjectCounts
from storage.rounds import RoundRow
from storage.store import Store


@dataclass(frozen=True)
class ModelQuality:
    """On held-out labels."""

    dice: float
    core: int | None  # the set that judged; null: before there were sets
    images: int  # of that set; 0: unknown
    slices: int  # of that set, where its images taught as well; else 0
    per_class: dict[int, float]
    objects: dict[int, ObjectCounts] = field(default_factory=dict)  # of classes whose objects have numbers


def model_quality(store: Store, learner: str) -> ModelQuality | None:
    """Of the newest round that ended well; None where nothing judged it."""
    row = store.rounds.newest(learner, "done")
    return None if row is None or row.dice is None else _quality(store, row, row.dice)


def what_would_judge(store: Store, learner: str = "") -> str:
    """What to do where nothing judges the models, or this learner's, as the end of a sentence."""
    core, labelled = store.judging.core(), store.rounds.labelled_images()
    if core is not None and core.places:
        row = store.rounds.newest(learner, "done")
        tried = row is not None and row.core == core.id  # and its model could say nothing about them
        return "label a slice of another image" if tried else "the next round may tell"
    held = sorted({image for image, *_ in store.rounds.held_out()} & set(labelled), key=lambda i: labelled[i])
    if not held:
        return "label a fourth image or slice"
    why = "what judges them was accepted as it was proposed"
    if would_hold_out(store):
        return f"{why}: on a new image label one slice yourself and press K, before you accept anything there"
    image = store.image(held[-1])
    here = f"one slice of {image.name!r}" if image.is_volume else repr(image.name)
    return f"{why}: clear {here} (Del), label it yourself and press K"


def _quality(store: Store, row: RoundRow, dice: float) -> ModelQuality:
    per_class = {int(c): float(value) for c, value in row.metrics.get("per_class", {}).items()}
    objects = {int(c): ObjectCounts.from_json(told) for c, told in row.metrics.get("objects", {}).items()}
    if row.core is None:
        return ModelQuality(dice, None, 0, 0, per_class, objects)
    judged = {each.image_id for each in store.judging.of_round(row.id) if each.core}
    whole = {image for image, *place in store.rounds.held_out() if tuple(place) == WHOLE}
    slices = 0 if judged <= whole else store.judging.core_sizes().get(row.core, 0)
    return ModelQuality(dice, row.core, len(judged), slices, per_class, objects)
