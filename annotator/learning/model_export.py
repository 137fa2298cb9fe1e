"""A trained model as a folder for use elsewhere: weights, ONNX checked against PyTorch, a card and a script."""

import json
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.learning.exporting.onnx_file import write_onnx
from annotator.learning.exporting.packing import pack_program
from annotator.learning.quality.model_quality import model_quality
from learners.spec import CARD
from storage.arrays import write_bytes
from storage.rounds import RoundRow, Rounds
from storage.store import Store

if TYPE_CHECKING:
    from learners.training.checkpoint import Card

ONNX = "model.onnx"
LICENCE = "yours to decide; the model was trained on this project's images and labels alone"


@dataclass(frozen=True)
class ExportedModel:
    folder: Path
    onnx_difference: float | None  # None: ONNX could not be written, the note in the card says why


def export_model(
    store: Store, rounds: Rounds, learner: str, folder: Path, tell: Callable[[str], None] = lambda phase: None
) -> ExportedModel:
    """Write the model that people see now; `tell` hears what is being done. Raises LookupError where there is none,
    ValueError where the folder is in use or the model is damaged."""
    from learners.training.checkpoint import WEIGHTS, load_network, read_card

    row = rounds.newest(learner, "done")
    source = rounds.model(learner)
    if row is None or source is None:
        raise LookupError(f"{learner} has no model yet; label something and wait for its first round")
    if not (source / CARD).exists():
        raise LookupError(
            f"{learner} trains no network that could be exported; export that of another learner"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; choose another folder for the model")
    folder.mkdir(parents=True, exist_ok=True)
    tell("copying the weights")
    card, network = read_card(source), load_network(source)
    shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
    tell("writing ONNX and comparing it with PyTorch")
    difference, note = write_onnx(network, folder / ONNX)
    about = _about(store, card, row, difference, note)
    write_bytes(folder / CARD, json.dumps(about, indent=1).encode())
    pack_program(folder)
    return ExportedModel(folder, difference)


def _about(store: Store, card: "Card", row: RoundRow, difference: float | None, note: str) -> dict[str, Any]:
    quality = model_quality(store, row.learner)
    names = {c.id: {"name": c.name, "color": c.color} for c in store.classes()}
    return {
        **card.as_json(),
        "multiple": card.network.multiple,
        "classes": [{"id": c, **names.get(c, {"name": str(c), "color": "#888888"})} for c in card.class_ids],
        "input": "float32 (batch, channels, " + "z, y, x)"[-3 * card.network.dims :],
        "dice": None if quality is None else quality.dice,
        "held_out_dice": None if quality is None else quality.dice,
        "per_class": {} if quality is None else {str(c): v for c, v in quality.per_class.items()},
        "labels_seen": {
            "clock": row.seen_label,
            "slices": row.labelled_slices,
            "annotator_minutes": round(row.annotator_seconds / 60, 1),
            "images": len({*_labelled_until(store, row.seen_label)}),
        },
        "onnx": {"file": ONNX, "difference": difference} if difference is not None else {"note": note},
        "licence": LICENCE,
        "exported_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
    }


def _labelled_until(store: Store, clock: int) -> list[int]:

    return [image for image, first in store.rounds.first_labels().items() if first <= clock]
