"""How good the model is that people see of a learner: the one number for page, command line, card and comparison."""

from dataclasses import dataclass, field

from learners.objects.scores import ObjectCounts
from storage.rounds import RoundRow
from storage.store import Store


@dataclass(frozen=True)
class ModelQuality:
    """On held-out labels."""

    dice: float
    core: int | None  # the set that judged; null: before there were sets
    images: int  # of that set; 0: unknown
    per_class: dict[int, float]
    objects: dict[int, ObjectCounts] = field(default_factory=dict)  # of classes whose objects have numbers


def model_quality(store: Store, learner: str) -> ModelQuality | None:
    """Of the newest round that ended well; None where nothing judged it."""
    row = store.rounds.newest(learner, "done")
    return None if row is None or row.dice is None else _quality(store, row, row.dice)


def _quality(store: Store, row: RoundRow, dice: float) -> ModelQuality:
    per_class = {int(c): float(value) for c, value in row.metrics.get("per_class", {}).items()}
    objects = {int(c): ObjectCounts.from_json(told) for c, told in row.metrics.get("objects", {}).items()}
    images = 0 if row.core is None else sum(each.core for each in store.judging.of_round(row.id))
    return ModelQuality(dice, row.core, images, per_class, objects)
