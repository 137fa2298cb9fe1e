"""The models that a tool may ask: the prompt model on a slice and in a volume, scribbles, and what learners propose."""

from typing import Any

from annotator.dialects.monai.desk import Desk
from annotator.dialects.subjects import label_names
from learners import LEARNERS

SLICE, VOLUME, SCRIBBLES, PROPOSED = "click_slice", "click_volume", "scribbles", "proposed"
INTERACTIVE = {
    SLICE: ("deepgrow", 2, "clicks and boxes on one slice, answered by the prompt model"),
    VOLUME: ("deepgrow", 3, "clicks and boxes in any slices, carried through the volume"),
    SCRIBBLES: ("scribbles", 3, "strokes on the object and beside it"),
}


def models_of(desk: Desk) -> dict[str, Any]:
    names = label_names(desk.context.workflow.store.classes())
    models = {
        name: _model(kind, list(names), dimension, words)
        for name, (kind, dimension, words) in INTERACTIVE.items()
    }
    automatic = {PROPOSED: "what people said and, where nobody did, the newest proposal"}
    rounds = desk.background.scheduler.rounds
    automatic |= {
        name: f"{entry.title}: {entry.good_at}"
        for name, entry in LEARNERS.items()
        if rounds.newest(name, "done") is not None
    }
    return models | {name: _model("segmentation", names, 3, words) for name, words in automatic.items()}


def _model(kind: str, labels: Any, dimension: int, words: str) -> dict[str, Any]:
    facts = {"type": kind, "labels": labels, "dimension": dimension, "description": words}
    return {**facts, "config": {}}
