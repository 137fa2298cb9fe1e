"""Scores of objects in words and numbers: the same on the page, the command line, the card and the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from learners.objects.scores import LIMITS, ObjectCounts
from learners.text import count_of
from storage.store import Store


def object_sentences(store: Store, objects: Mapping[int, ObjectCounts]) -> list[str]:
    """A sentence for each class whose numbered objects judge; empty where none do."""
    names = {c.id: c.name for c in store.classes()}
    return [f"{names.get(c, str(c))}: {_told(counts)}" for c, counts in objects.items() if counts.true]


def object_table(objects: Mapping[int, ObjectCounts], class_ids: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Class id -> every number, for files."""
    return {str(c): _numbers(objects[c]) for c in class_ids if c in objects and objects[c].true}


def _told(counts: ObjectCounts) -> str:
    return (
        f"AP {_two(counts.ap50)} at IoU 0.5 and {_two(counts.mean_ap)} over all limits, "
        f"PQ {_two(counts.panoptic)}, F1 {_two(counts.f1)}. "
        f"Of {count_of(counts.true, 'held-out object')} {counts.split} split; "
        f"{counts.merged} of {counts.proposed} proposed hold several. "
        f"Counts are off by {counts.count_error or 0:.0%}."
    )


def _two(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _numbers(counts: ObjectCounts) -> dict[str, Any]:
    each = counts.precisions or ()
    return {
        "images": counts.images,
        "true": counts.true,
        "proposed": counts.proposed,
        "average_precision": {f"{limit:.2f}": round(ap, 4) for limit, ap in zip(LIMITS, each)},
        "mean_average_precision": round(counts.mean_ap or 0.0, 4),
        "panoptic_quality": round(counts.panoptic or 0.0, 4),
        "f1": round(counts.f1 or 0.0, 4),
        "count_error": round(counts.count_error or 0.0, 4),
        "split": counts.split,
        "merged": counts.merged,
    }
