"""The whole sparse loop from the command line, on any folder in the layout of the Medical Segmentation Decathlon.

    python -m benchmarks.headline --data FOLDER [--out FOLDER] [--volumes 8] [--tests 20] [--seconds 180]

FOLDER has imagesTr and labelsTr (or images and labels) with files of the same names, such as the public download
Task04_Hippocampus. A person is simulated who labels two slices of each of the first volumes through the app's own
workflow: one through the middle of the objects, and the one that the app proposes next. The volumes are filled, the
learners train their rounds, the fills are accepted, the masks and the model are exported, and the Dice is printed of
what was filled, and of the model on volumes that were never in the project.
"""

import argparse
import json
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_images import import_path
from annotator.filling.fill_worker import DEFAULT, FillWorker
from annotator.filling.proposals import VolumeProposals
from annotator.jobs import Job
from annotator.labels.label_cache import LabelCache
from annotator.learning.model_export import export_model
from annotator.learning.settings import LearnSettings
from annotator.protocol.incoming import AcceptMessage
from benchmarks.common import Row, finish
from benchmarks.simulated import USER, Annotator, Subject, project, test_dice, truth_of
from learners import LEARNERS
from learners.prediction.metrics import dice_of, mean_dice, overlaps
from learners.propagate.process import Filler
from storage.arrays import SliceRef, plane
from storage.formats import read_labels

LAYOUTS = (("imagesTr", "labelsTr"), ("images", "labels"))
FILL_SECONDS = 600.0


def main() -> None:
    asked = options()
    subject, tests = subjects(asked.data, asked.volumes, asked.tests)
    settings = LearnSettings(
        (asked.learner,), seconds=max(1.0, asked.seconds / 9), settle_seconds=asked.seconds, device="auto"
    )
    with tempfile.TemporaryDirectory() as spare:
        out = asked.out or Path(spare) / "out"
        started = time.perf_counter()
        with project(out / "project", subject, settings, asked.seed) as person:
            trains = LEARNERS[asked.learner].network
            unseen = {} if trains else added(person, tests)
            filled = label_and_fill(person)
            person.scheduler.run_until_idle()
            rows = [Row(subject.name, "fills of the labelled volumes", "Dice", filled, len(person.masks))]
            accept_fills(person)
            rows += written(person, asked.learner, out)
            model = person.scheduler.rounds.model(asked.learner)
            if model is None:
                raise SystemExit(f"no model: {person.scheduler.status()[0]['message']}")
            if trains:
                value = test_dice(model, tests, subject, Path(spare) / "tests") or 0.0
            else:
                value = proposed_dice(person, asked.learner, unseen)
            rows.append(Row(subject.name, f"{asked.learner}, unseen volumes", "Dice", value, len(tests)))
            rows.append(Row(subject.name, "annotator", "minutes", person.seconds / 60, person.drawn))
        rows.append(Row(subject.name, "everything", "seconds", time.perf_counter() - started))
        finish([replace(row, seed=asked.seed) for row in rows], asked.json)
        if asked.out:
            print(f"the masks are in {out / 'masks'}, the model is in {out / 'model'}")


def options() -> argparse.Namespace:
    out = argparse.ArgumentParser(
        prog="python -m benchmarks.headline",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    out.add_argument("--data", type=Path, required=True, help="folder with imagesTr and labelsTr")
    out.add_argument(
        "--out", type=Path, help="an empty folder for the project, masks and model; else thrown away"
    )
    out.add_argument("--volumes", type=int, default=8, help="to label two slices of")
    out.add_argument(
        "--tests", type=int, default=20, help="volumes to judge the model by, from the other end"
    )
    out.add_argument("--seconds", type=float, default=180.0, help="of training")
    out.add_argument("--learner", choices=sorted(LEARNERS), default="propagated")
    out.add_argument("--seed", type=int, default=0)
    out.add_argument("--json", type=Path, help="write the rows here")
    asked = out.parse_args()
    if asked.out and asked.out.exists() and any(asked.out.iterdir()):
        out.error(f"{asked.out} is not empty; choose another folder")
    return asked


def subjects(folder: Path, count: int, tests: int) -> tuple[Subject, tuple[tuple[Path, Path], ...]]:
    """The volumes for the project, and those it never sees. Ends the program in a sentence where there are too few."""
    for images, labels in LAYOUTS:
        pairs = [
            (path, folder / labels / path.name)
            for path in sorted((folder / images).glob("*.nii*"))
            if not path.name.startswith(".") and (folder / labels / path.name).is_file()
        ]
        if pairs:
            break
    else:
        raise SystemExit(
            f"{folder} has no imagesTr and labelsTr with files of the same names; give their folder"
        )
    if len(pairs) < count + 1:
        raise SystemExit(
            f"{folder} has {len(pairs)} volumes with masks; ask for fewer than that by --volumes"
        )
    chosen = pairs[:count]
    unseen = pairs[count:][-tests:]
    return Subject(folder.name, tuple(chosen), class_names(folder, chosen), whole_images=False), tuple(unseen)


def class_names(folder: Path, pairs: list[tuple[Path, Path]]) -> tuple[str, ...]:
    """By dataset.json where it is there, else by number; one for each value up to the highest."""
    highest = max(int(read_labels(mask)[0].max()) for _, mask in pairs)
    names: dict[str, str] = {}
    if (folder / "dataset.json").is_file():
        names = json.loads((folder / "dataset.json").read_text(encoding="utf-8")).get("labels", {})
    return tuple(str(names.get(str(n), f"class {n}")) for n in range(1, highest + 1))


def label_and_fill(person: Annotator) -> float:
    """Two slices of every volume, and the mean Dice of the fills."""
    store, folds = person.workflow.store, LabelCache(person.workflow.store)
    fills = FillWorker(store, folds, Filler())
    proposals = VolumeProposals(store, fills)
    scores = []
    try:
        for image_id in sorted(person.masks):
            truth = person.truth(image_id)
            person.label_slice(SliceRef(image_id, 0, middle(truth)))
            refill(fills, folds, image_id)
            proposal = proposals.next_slice(image_id)
            if proposal["axis"] is not None:
                person.label_slice(SliceRef(image_id, proposal["axis"], proposal["index"]))
                refill(fills, folds, image_id)
            values = range(1, len(person.subject.classes) + 1)
            classes = proposals.newest(image_id).classes()
            scores.append(dice_of(overlaps(classes, truth, values, np.ones(truth.shape, bool))))
    finally:
        fills.close()
    return mean_dice(scores) or 0.0


def accept_fills(person: Annotator) -> None:
    """What is proposed becomes labels, so that whole masks are exported; nothing trains on them any more."""
    for image_id in sorted(person.masks):
        slices = person.workflow.store.image(image_id).shape[0]
        place: dict[str, Any] = {"image": image_id, "axis": 0, "lo": 0, "hi": slices}
        message = AcceptMessage(t="accept", id=uuid.uuid4().hex, **place, producer=DEFAULT)
        person.workflow.commit(USER, message, b"")


def refill(fills: FillWorker, folds: LabelCache, image_id: int) -> None:
    folds.forget(image_id)
    fills.refresh(image_id)
    if not fills.idle(FILL_SECONDS):
        raise SystemExit(f"volume {image_id} was not filled within {FILL_SECONDS:.0f} s")


def middle(truth: np.ndarray) -> int:
    """Of the slices that show at least 80 % as much as the best one, the middle one."""
    areas = [int((plane(truth, 0, k) > 0).sum()) for k in range(len(truth))]
    good = [k for k, area in enumerate(areas) if area >= 0.8 * max(areas)]
    return good[len(good) // 2]


def written(person: Annotator, learner: str, out: Path) -> list[Row]:
    """Export masks and model as a person would; how much of each was written."""
    store = person.workflow.store
    export(store, out / "masks", ExportRequest(("nifti",)), Job("export"))
    folders = {"masks": out / "masks"}
    if LEARNERS[learner].network:
        folders["model"] = export_model(store, person.scheduler.rounds, learner, out / "model").folder
    return [Row(store.root.name, name, "files", files_in(folder)) for name, folder in folders.items()]


def files_in(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def added(person: Annotator, tests: Sequence[tuple[Path, Path]]) -> dict[int, Path]:
    """The test volumes in the project, without labels: image -> mask. For learners whose model is no network."""
    store = person.workflow.store
    return {import_path(store, image, Job("import")).added[0]: mask for image, mask in tests}


def proposed_dice(person: Annotator, learner: str, unseen: dict[int, Path]) -> float:
    """The mean Dice of what was proposed for volumes that nobody labelled."""
    store, scores = person.workflow.store, []
    values = range(1, len(person.subject.classes) + 1)
    for image_id, mask in unseen.items():
        row = store.predictions.newest(image_id, learner)
        truth = truth_of(store, image_id, mask, person.subject)
        found = np.zeros_like(truth) if row is None else row.classes()
        scores.append(dice_of(overlaps(found, truth, values, np.ones(truth.shape, bool))))
    return mean_dice(scores) or 0.0


if __name__ == "__main__":
    main()
