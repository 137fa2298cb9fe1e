"""The card of an exported model: what it is for, what it learned from, how good it is, where it ends."""

import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.learning.exporting.judged_cases import Judged
from annotator.learning.quality.model_quality import ModelQuality
from annotator.learning.quality.object_words import object_sentences, object_table
from learners.text import count_of
from storage.rounds import RoundRow
from storage.rows import ImageRow
from storage.store import Store

if TYPE_CHECKING:
    from learners.training.checkpoint import Card

LICENCE = "yours to decide; the model was trained on this project's images and labels alone"
FEW_CASES = 5  # judged by fewer, a mean says little


@dataclass(frozen=True)
class ExportFacts:
    """What card and report tell."""

    store: Store
    row: RoundRow  # the newest round of its learner
    card: "Card"
    judged: Judged
    quality: ModelQuality | None  # the number that the app shows; None where nothing judged the model

    @property
    def names(self) -> dict[int, str]:
        known = {c.id: c.name for c in self.store.classes()}
        return {c: known.get(c, str(c)) for c in self.card.class_ids}

    @property
    def learned_from(self) -> list[ImageRow]:
        """Images labelled before the round and not held out as a whole."""
        whole = {image for image, axis, _ in self.store.rounds.held_out() if axis < 0}
        first = self.store.rounds.first_labels()
        return [
            self.store.image(i)
            for i, clock in first.items()
            if clock <= self.row.seen_label and i not in whole
        ]

    def median_distance(self, class_id: int) -> float | None:
        """Over cases whose spacing is known, in mm."""
        found = [
            case.distance[class_id]
            for case in self.judged.cases
            if case.unit == "mm" and class_id in case.distance
        ]
        return round(float(np.median(found)), 2) if found else None

    @property
    def objects(self) -> list[str]:
        """Sentences about numbered objects on held-out images."""
        return [] if self.quality is None else object_sentences(self.store, self.quality.objects)

    def dice(self, class_id: int) -> float | None:
        return None if self.quality is None else self.quality.per_class.get(class_id)


def card_of(facts: ExportFacts, onnx: dict[str, Any]) -> dict[str, Any]:
    """As JSON; what importing the model reads is that of its training."""
    card, row = facts.card, facts.row
    colours = {c.id: c.color for c in facts.store.classes()}
    return {
        **card.as_json(),
        "multiple": card.network.multiple,
        "classes": [{"id": c, "name": n, "color": colours.get(c, "#888888")} for c, n in facts.names.items()],
        "input": "float32 (batch, channels, " + "z, y, x)"[-3 * card.network.dims :],
        "output": output_of(card),
        "intended_use": intended_use(facts),
        "training_data": training_data(facts),
        "held_out": held_out(facts),
        "dice": None if facts.quality is None else facts.quality.dice,
        "held_out_dice": None if facts.quality is None else facts.quality.dice,
        "per_class": {} if facts.quality is None else {str(c): v for c, v in facts.quality.per_class.items()},
        "limits": list(limits(facts)),
        "labels_seen": {
            "clock": row.seen_label,
            "slices": row.labelled_slices,
            "annotator_minutes": round(row.annotator_seconds / 60, 1),
            "images": len(facts.learned_from),
        },
        "onnx": onnx,
        "licence": LICENCE,
        "exported_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
    }


def output_of(card: "Card") -> str:
    """Of the ONNX file and the weights alike, in words."""
    each = "a logit for background and for each of class_ids"
    if card.objects is None:
        return each
    return f"{each}, then {' and '.join(card.objects.channel_names)} before the sigmoid"


def intended_use(facts: ExportFacts) -> str:
    what = ", ".join(facts.names.values())
    where = "volumes" if facts.card.network.dims == 3 else "pictures and slices"
    modalities = " and ".join(_modalities(facts.learned_from))
    kind = f"{modalities} {where}" if modalities else where
    return (
        f"Proposing masks of {what} in {kind} like those it learned from. A person checks every mask. "
        "It is no medical device."
    )


def training_data(facts: ExportFacts) -> dict[str, Any]:
    """In numbers: nothing here names an image."""
    images, row = facts.learned_from, facts.row
    known = [image.spacing_mm for image in images if image.spacing_mm is not None]
    return {
        "images": len(images),
        "labelled_slices": row.labelled_slices,
        "annotator_minutes": round(row.annotator_seconds / 60, 1),
        "modalities": _modalities(images),
        "shape_zyx": _range([image.shape for image in images]),
        "spacing_mm_zyx": _range(known),
        "without_spacing": len(images) - len(known),
        "in_colour": sum(image.channels == 3 and not image.measured for image in images),
        "channels": sorted({channel.name for image in images for channel in image.measured}),
    }


def held_out(facts: ExportFacts) -> dict[str, Any]:
    """Of the exported weights, on images that never taught."""
    each = [
        {"name": name, "dice": facts.dice(c), "hausdorff95_mm_median": facts.median_distance(c)}
        for c, name in facts.names.items()
    ]
    objects = {} if facts.quality is None else object_table(facts.quality.objects, facts.card.class_ids)
    return {
        "images": len(facts.judged.cases),
        "left_out": facts.judged.left_out,
        "per_class": each,
        "objects": objects,
    }


def limits(facts: ExportFacts) -> Iterator[str]:
    """Sentences for people."""
    cases, images = len(facts.judged.cases), facts.learned_from
    if not cases:
        yield "No held-out label judged it, so nobody knows how good it is on new images."
    elif cases < FEW_CASES:
        yield f"Only {count_of(cases, 'image')} judged it, so its Dice may be far from that on new images."
    silent = [name for c, name in facts.names.items() if facts.dice(c) is None]
    if cases and silent:
        yield f"No held-out image shows {', '.join(silent)}, so nothing is known about that."
    modalities = _modalities(images)
    if modalities:
        yield f"It has seen {' and '.join(modalities)} alone; on anything else its masks mean nothing."
    if facts.card.spacing_known:
        spacing = " x ".join(f"{mm:.2g}" for mm in facts.card.spacing_mm)
        yield f"Images of clearly another spacing are brought to {spacing} mm and back; finer detail is lost."
    yield "Images from another scanner, stain or site may need labels of their own."


def _modalities(images: Sequence[ImageRow]) -> dict[str, int]:
    return dict(Counter(image.modality for image in images if image.modality))


def _range(values: Sequence[tuple[float, ...]]) -> dict[str, list[float]] | None:
    if not values:
        return None
    rows = np.array(values, float)
    return {"least": rows.min(0).round(4).tolist(), "most": rows.max(0).round(4).tolist()}
