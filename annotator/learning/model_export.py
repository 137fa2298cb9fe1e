"""A trained model as a folder for use elsewhere: weights, ONNX, a card, a report, and what predicts with it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from annotator.learning.exporting.bundle import MODELS, make_bundle
from annotator.learning.exporting.onnx_file import write_onnx
from annotator.learning.exporting.packing import pack_program
from annotator.learning.quality.model_quality import model_quality
from learners.spec import CARD
from storage.arrays import write_bytes
from storage.rounds import Rounds
from storage.store import Store

TellPhase = Callable[[str], None]  # hears what is being done

ONNX = "model.onnx"
REPORT = "report.html"
ONE_OF = "the first of {} networks alone, asked once and not mended; predict.py gives the whole answer"


@dataclass(frozen=True)
class ExportedModel:
    folder: Path
    onnx_difference: float | None  # None: ONNX could not be written, the note in the card says why


def export_model(
    store: Store, rounds: Rounds, learner: str, folder: Path, tell: TellPhase = lambda phase: None
) -> ExportedModel:
    """Write the model that people see now; `tell` hears what is being done. Raises LookupError where there is none,
    ValueError where the folder is in use or the model is damaged."""
    _check_free(folder)
    difference = _write_model(store, learner, folder, tell)
    pack_program(folder)
    return ExportedModel(folder, difference)


def export_bundle(
    store: Store, learner: str, folder: Path, tell: TellPhase = lambda phase: None
) -> ExportedModel:
    """As `export_model`, as a folder that `monai.bundle` runs."""
    _check_free(folder)
    difference = _write_model(store, learner, folder / MODELS, tell)
    make_bundle(folder)
    return ExportedModel(folder, difference)


def _check_free(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; choose another folder for the model")


def _write_model(store: Store, learner: str, folder: Path, tell: TellPhase) -> float | None:
    """Weights, ONNX, card and report; how far ONNX is from PyTorch."""
    from annotator.learning.exported.masks import open_model
    from annotator.learning.exporting.card import ExportFacts, card_of
    from annotator.learning.exporting.judged_cases import judge
    from annotator.learning.exporting.report import report_of
    from learners.adapt.saved import copy_groups
    from learners.prediction.label_guards import save_guards
    from learners.training.checkpoint import load_network, read_card, weight_files

    rounds = store.rounds
    row = rounds.newest(learner, "done")
    source = rounds.model(learner)
    if row is None or source is None:
        raise LookupError(f"{learner} has no model yet; label something and wait for its first round")
    if not (source / CARD).exists():
        raise LookupError(
            f"{learner} trains no network that could be exported; export that of another learner"
        )
    model = open_model(source, "auto", rounds.folder(row.id))
    folder.mkdir(parents=True, exist_ok=True)
    tell("copying the weights")
    for name in weight_files(read_card(source)):
        shutil.copyfile(source / name, folder / name)
    shutil.copyfile(source / CARD, folder / CARD)
    copy_groups(rounds.folder(row.id), folder)
    if model.guards is not None:
        save_guards(folder, model.guards)
    judged = judge(store, model, tell)
    tell("writing ONNX and comparing it with PyTorch")
    difference, note = write_onnx(load_network(folder), folder / ONNX)
    onnx = {"note": note} if difference is None else {"file": ONNX, "difference": difference}
    card = read_card(folder)
    if card.final is not None:
        onnx["part"] = ONE_OF.format(card.final.members)
    facts = ExportFacts(store, row, card, judged, model_quality(store, learner))
    write_bytes(folder / CARD, json.dumps(card_of(facts, onnx), indent=1).encode())
    done = [each for each in rounds.of(learner) if each.status == "done"]
    write_bytes(folder / REPORT, report_of(facts, done).encode())
    return difference
