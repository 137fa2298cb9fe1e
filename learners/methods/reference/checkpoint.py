"""What was learned from the references, on disk: tensors beside a JSON card. Loading runs no code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from learners.methods.reference.align import Neck
from learners.methods.reference.features import Dense
from learners.methods.reference.head import ReferenceHead, Scaling
from learners.methods.reference.model import ClassModel, FeatureExtractor, Reference, View
from models.prompt import PromptModel
from storage.arrays import write_bytes

CARD, TENSORS = "reference.json", "reference.safetensors"


def save_reference(directory: Path, reference: Reference) -> None:
    """Tensors first, then the card: a directory with a card is whole."""
    tensors: dict[str, Tensor] = {}
    for n, view in enumerate(reference.views):
        tensors |= {f"{n}/{name}": tensor for name, tensor in _tensors(view).items()}
    save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, directory / TENSORS)
    model = reference.prompt_model
    card = {
        "features": reference.views[0].sight.dense.key,
        "axis": reference.axis,
        "joined": reference.joined,
        "asks": None if model is None else model.model_id,
        "views": [_card(view) for view in reference.views],
        "torch": torch.__version__,
    }
    write_bytes(directory / CARD, json.dumps(card, indent=1).encode())


def load_reference(
    directory: Path, class_ids: tuple[int, ...], dense: Dense, prompt_model: PromptModel
) -> Reference | None:
    """None where it was made from other features or cannot be read: learning it again takes seconds."""
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
        tensors = load_file(directory / TENSORS)
        if card["features"] != dense.key:
            return None
        views = []
        for n, about in enumerate(card["views"]):
            own = {k.removeprefix(f"{n}/"): v for k, v in tensors.items() if k.startswith(f"{n}/")}
            views.append(_view(about, own, class_ids, dense))
        return Reference(
            views=tuple(views),
            class_ids=class_ids,
            axis=card["axis"],
            joined=card["joined"],
            prompt_model=prompt_model if card["asks"] == prompt_model.model_id else None,
        )
    except Exception:  # safetensors and JSON raise types of their own
        return None


def _tensors(view: View) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for i, (mean, spread) in enumerate(zip(view.scaling.means, view.scaling.spreads, strict=True)):
        tensors |= {f"mean.{i}": mean, f"spread.{i}": spread}
    for value, one in view.seen.items():
        tensors |= {f"{value}.weights": one.head.weights, f"{value}.yes": one.head.yes}
        tensors |= {f"{value}.no": one.head.no}
    if view.neck is not None:
        tensors |= {"neck.weight": view.neck.weight, "neck.bias": view.neck.bias}
    return tensors


def _card(view: View) -> dict[str, Any]:
    return {
        "diameter": view.sight.diameter,
        "placed": view.sight.placed,
        "centred": view.sight.centred,
        "seen": {
            value: {
                "offset": one.head.offset,
                "threshold": one.threshold,
                "gate": one.gate,
                "activation": one.activation,
                "own": one.own,
                "doubted": one.doubted,
            }
            for value, one in view.seen.items()
        },
    }


def _view(card: dict[str, Any], tensors: dict[str, Tensor], class_ids: tuple[int, ...], dense: Dense) -> View:
    seen = {
        int(value): ClassModel(
            head=_head(tensors, value, one["offset"]),
            threshold=one["threshold"],
            gate=one["gate"],
            activation=one["activation"],
            own=one["own"],
            doubted=one["doubted"],
        )
        for value, one in card["seen"].items()
        if int(value) in class_ids
    }
    levels = range(sum(name.startswith("mean.") for name in tensors))
    means, spreads = (tuple(tensors[f"{kind}.{i}"] for i in levels) for kind in ("mean", "spread"))
    neck = Neck(tensors["neck.weight"], tensors["neck.bias"]) if "neck.weight" in tensors else None
    sight = FeatureExtractor(dense, card["diameter"], tuple(card["placed"]), tuple(card["centred"]))
    return View(sight, Scaling(means, spreads), seen, neck)


def _head(tensors: dict[str, Tensor], value: str, offset: float) -> ReferenceHead:
    return ReferenceHead(tensors[f"{value}.weights"], offset, tensors[f"{value}.yes"], tensors[f"{value}.no"])
