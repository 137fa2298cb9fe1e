"""What was learned from the references, on disk: tensors beside a JSON card. Loading runs no code."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from learners.reference.align import Neck
from learners.reference.features import Dense
from learners.reference.head import Head, Scaling
from learners.reference.model import Reference, Seen, Sight
from models.prompt import PromptModel
from storage.arrays import write_bytes

CARD, TENSORS = "reference.json", "reference.safetensors"


def save_reference(directory: Path, reference: Reference) -> None:
    """Tensors first, then the card: a directory with a card is whole."""
    tensors: dict[str, Tensor] = {}
    for i, (mean, spread) in enumerate(zip(reference.scaling.means, reference.scaling.spreads, strict=True)):
        tensors |= {f"mean.{i}": mean, f"spread.{i}": spread}
    for value, one in reference.seen.items():
        tensors |= {f"{value}.weights": one.head.weights, f"{value}.yes": one.head.yes}
        tensors |= {f"{value}.no": one.head.no}
    if reference.neck is not None:
        tensors |= {"neck.weight": reference.neck.weight, "neck.bias": reference.neck.bias}
    save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, directory / TENSORS)
    write_bytes(directory / CARD, json.dumps(_card(reference), indent=1).encode())


def load_reference(
    directory: Path, class_ids: tuple[int, ...], dense: Dense, prompt_model: PromptModel
) -> Reference | None:
    """None where it was made from other features or cannot be read: learning it again takes seconds."""
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
        tensors = load_file(directory / TENSORS)
        if card["features"] != dense.key:
            return None
        sight = Sight(dense, card["diameter"], tuple(card["placed"]), tuple(card["centred"]))
        seen = {
            int(value): Seen(
                head=_head(tensors, value, one["offset"]),
                threshold=one["threshold"],
                gate=one["gate"],
                activation=one["activation"],
                own=one["own"],
            )
            for value, one in card["seen"].items()
            if int(value) in class_ids
        }
        levels = range(sum(name.startswith("mean.") for name in tensors))
        means, spreads = (tuple(tensors[f"{kind}.{i}"] for i in levels) for kind in ("mean", "spread"))
        neck = Neck(tensors["neck.weight"], tensors["neck.bias"]) if "neck.weight" in tensors else None
        return Reference(
            sight=sight,
            scaling=Scaling(means, spreads),
            seen=seen,
            class_ids=class_ids,
            axis=card["axis"],
            joined=card["joined"],
            prompt_model=prompt_model if card["asks"] == prompt_model.model_id else None,
            neck=neck,
        )
    except Exception:  # safetensors and JSON raise types of their own
        return None


def _card(reference: Reference) -> dict[str, object]:
    sight, model = reference.sight, reference.prompt_model
    return {
        "features": sight.dense.key,
        "diameter": sight.diameter,
        "placed": sight.placed,
        "centred": sight.centred,
        "axis": reference.axis,
        "joined": reference.joined,
        "asks": None if model is None else model.model_id,
        "seen": {
            value: {
                "offset": one.head.offset,
                "threshold": one.threshold,
                "gate": one.gate,
                "activation": one.activation,
                "own": one.own,
            }
            for value, one in reference.seen.items()
        },
        "torch": torch.__version__,
    }


def _head(tensors: dict[str, Tensor], value: str, offset: float) -> Head:
    return Head(tensors[f"{value}.weights"], offset, tensors[f"{value}.yes"], tensors[f"{value}.no"])
