"""A trained model as a folder for use elsewhere: weights, ONNX checked against PyTorch, a card and a script."""

import json
import logging
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learners.spec import CARD
from storage.arrays import write_bytes
from storage.rounds import RoundRow, Rounds
from storage.store import Store

if TYPE_CHECKING:
    from learners.training.checkpoint import Card
    from models.networks import UNet

log = logging.getLogger(__name__)

ONNX = "model.onnx"
CLOSE = 1e-3  # logits of the two runtimes may differ by this much
OPSET = 17
LICENCE = "yours to decide; the model was trained on this project's images and labels alone"

SCRIPT = Path(__file__).parent / "exported" / "predict.py"  # copied as it is, never imported


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
    difference, note = _write_onnx(network, folder / ONNX)
    about = _about(store, card, row, difference, note)
    write_bytes(folder / CARD, json.dumps(about, indent=1).encode())
    shutil.copyfile(SCRIPT, folder / SCRIPT.name)
    return ExportedModel(folder, difference)


def _write_onnx(network: "UNet", path: Path) -> tuple[float | None, str]:
    """The largest difference to PyTorch on another size than it was traced with, or why there is no file."""
    import numpy as np
    import torch

    spec = network.spec
    sides = [4 * m for m in spec.multiple]
    names = {0: "batch", **{i + 2: f"side{i}" for i in range(spec.dims)}}
    traced = torch.rand(1, spec.channels, *sides)
    try:
        _quietly_export(network, traced, path, {"image": names, "logits": names})
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        other = torch.rand(2, spec.channels, *(n + m for n, m in zip(sides, spec.multiple)))
        with torch.inference_mode():
            wanted = network(other).numpy()
        difference = float(np.abs(session.run(None, {"image": other.numpy()})[0] - wanted).max())
    except Exception as error:  # torch.onnx and onnxruntime raise types of their own
        path.unlink(missing_ok=True)
        log.warning("no ONNX file", exc_info=error)
        return None, f"ONNX could not be written ({type(error).__name__}); use the safetensors weights"
    if difference > CLOSE:
        path.unlink(missing_ok=True)
        return None, f"the ONNX file answered differently (by {difference:.2g}) and was left out"
    return difference, ""


def _quietly_export(network: "UNet", traced: Any, path: Path, axes: dict[str, dict[int, str]]) -> None:
    """The tracing exporter: it takes two seconds, the newer one half a minute and another package."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (traced,),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _about(store: Store, card: "Card", row: RoundRow, difference: float | None, note: str) -> dict[str, Any]:
    names = {c.id: {"name": c.name, "color": c.color} for c in store.classes()}
    return {
        **card.as_json(),
        "multiple": card.network.multiple,
        "classes": [{"id": c, **names.get(c, {"name": str(c), "color": "#888888"})} for c in card.class_ids],
        "input": "float32 (batch, channels, " + "z, y, x)"[-3 * card.network.dims :],
        "held_out_dice": row.dice,
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
