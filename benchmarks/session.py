"""A person at work from an empty project to masks of every image: actions, simulated minutes, and how good they are.

    python -m benchmarks.session [--quick] [--set SET] [--seeds N] [--split val] [--redraw] [--at-once] [--json FILE]

A scripted person goes through the images and says what the truth is through the real workflow: events, fills, rounds,
acceptances. It sees a proposal as a person does, and knows a good one from a bad one. One action is one drag, one
click, one key that changes something, or one image opened.

Volumes: label the slice that the app asks for, class by class, and complete it, until the proposal has Dice GOAL or
MOST_SLICES are labelled, then accept. Pictures of objects: take the proposal with numbers where most of it is right,
strike out each wrong one and click each missing one, twice at most, until the average precision is GOAL_AP, then
complete the picture. A mask that is right at once is a click and Enter, with `--at-once` a click. With `--redraw` they
press *Redraw* once in each volume, on the first proposal that is not good enough; the prompt model was trained on the
split `train`, so `--split val` is the one to ask. `worse` is the share of labelled slices after which the proposal's
Dice was lower by more than 0.02.

`said` is the held-out Dice that the page shows after each image, in the mean over the session; `held-out truth` is what
the same model makes of the whole images that judge it, and `new images` of those without labels. `off` is how far
what is said lies from the held-out truth, in the mean; `said by slices` how often slices of images that taught judged.
"""

import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

from annotator.background import Background
from annotator.exchange.import_images import import_path
from annotator.filling.guided_start import guide
from annotator.jobs import Job
from annotator.learning.settings import LearnSettings, keep_settings
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs, unpack_bits
from annotator.protocol.incoming import AcceptMessage, CompleteMessage, LabelMessage, PredictMessage
from annotator.workflow import Refused, Workflow
from benchmarks.clicks import depth
from benchmarks.common import Row, finish, parser
from benchmarks.prompt_cases import in_split
from benchmarks.session_told import Told
from benchmarks.simulated import (
    DRAW_PER_PIXEL,
    DRAW_SECONDS,
    OPEN_SECONDS,
    SLICE_SECONDS,
    USER,
    Subject,
    contour,
    truth_of,
)
from benchmarks.trust_cases import mean_dice
from learners.engines import SerialExecutor
from storage.arrays import BACKGROUND, UNLABELLED, SliceRef, plane
from storage.formats import read_labels
from storage.store import Store

GOAL = 0.90  # Dice of a volume's proposal with which the person is content
GOAL_AP = 0.8  # at IoU 0.5 of a picture of objects
MOST_SLICES = 6  # labelled in one volume
MARGIN = 0.02
CLICK_SECONDS, ACCEPT_SECONDS = 2.4, 1.5  # ../shared/benchmarks.md (c2)
MATCH = 0.5  # IoU from which an object is the same
TRIES = 2  # clicks for one object
ROUND_STEPS = 60  # of a learner after each image, so that a busy machine changes nothing
REDRAW_SECONDS = 8.0  # of one core, as `benchmarks.trust --part redraw` measured; the person waits
FILL_SECONDS = 1200.0  # a busy machine fails nothing
Truth = NDArray[np.uint16]  # (Z, Y, X) classes, or numbers of objects


@dataclass(frozen=True)
class Ways:
    """How a person works."""

    redraws: bool = False
    at_once: bool = False  # each click is accepted as it comes


@dataclass
class Person:
    """What one person did, and how it went."""

    workflow: Workflow
    background: Background
    ways: Ways = Ways()
    actions: int = 0
    seconds: float = 0.0
    slices: int = 0
    fell: list[float] = field(
        default_factory=list
    )  # change of Dice a labelled slice, where one was proposed before

    def act(self, seconds: float, count: int = 1) -> None:
        self.actions += count
        self.seconds += seconds

    def say(self, message: Any, payload: bytes = b"") -> None:
        self.workflow.commit(USER, message, payload)

    def wait(self) -> None:
        """For the fill of what was said."""
        if not self.background.fills.idle(FILL_SECONDS):
            raise TimeoutError("the fill has not come back")

    def redraw(self, image_id: int) -> None:
        """The outlines of what is proposed there, and look at them when they are made."""
        row = self.workflow.store.predictions.newest(image_id, None)
        if row is not None:
            self.act(ACCEPT_SECONDS + REDRAW_SECONDS)
            self.background.fills.redraw(image_id, row.producer)
            while self.background.fills.under_way(image_id):
                time.sleep(0.05)
            self.wait()

    def learn(self) -> None:
        """Let the learners work while the person does something else."""
        self.background.scheduler.run_until_idle()
        self.wait()

    def proposed(self, image_id: int) -> NDArray[np.uint8] | None:
        """(Z, Y, X) what the page shows there: the newest proposal, people's labels over it."""
        row = self.workflow.store.predictions.newest(image_id, None)
        if row is None:
            return None
        with self.workflow.folds.lock:
            known = self.workflow.folds.get(image_id).known()
        return np.where(known == UNLABELLED, row.classes(), known)

    def accept(self, image_id: int, *, number: bool = False) -> None:
        depth_ = self.workflow.store.image(image_id).shape[0]
        self.act(ACCEPT_SECONDS)
        self.say(_message(AcceptMessage, "accept", image=image_id, axis=0, lo=0, hi=depth_, number=number))

    def complete(self, ref: SliceRef) -> None:
        self.act(0.0)
        self.say(_message(CompleteMessage, "complete", **_place(ref), on=True))

    def draw(self, ref: SliceRef, mask: NDArray[np.bool_], value: int, **more: Any) -> None:
        """Say that these pixels of a slice are of a class."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        part = np.where(mask, value, UNLABELLED).astype(np.uint8)[box[0] : box[2], box[1] : box[3]]
        said = {"source": "drawn", "base_rev": self.workflow.store.newest_label(), **more}
        self.say(_message(LabelMessage, "label", **_place(ref), box=box, **said), encode_runs(part))


def main() -> None:
    asked = parser(__doc__.splitlines()[0])
    asked.add_argument("--set", choices=list(SETS), action="append", help="default: all that are there")
    asked.add_argument("--images", type=int, help="of a set; default 16 volumes, 30 pictures, quick 4")
    asked.add_argument(
        "--split", default="train", choices=("train", "val"), help="of the images; default train"
    )
    asked.add_argument("--redraw", action="store_true", help="press Redraw once in each volume")
    asked.add_argument("--at-once", action="store_true", help="'Accept each click at once' is ticked")
    options = asked.parse_args()
    rows: list[Row] = []
    for name in options.set or SETS:
        if not (options.data / SETS[name].folder).is_dir():
            print(f"{name}: left out, its folder is not in {options.data}")
            continue
        for seed in range(1 if options.quick else options.seeds):
            count = options.images or (4 if options.quick else SETS[name].images)
            images = pairs_of(SETS[name], options.data, options.split, count, seed)
            ways = Ways(options.redraw, options.at_once)
            for row in session(SETS[name], images, seed, ways):
                print(f"{row.set}, seed {seed}: {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
    finish(rows, options.json)


@dataclass(frozen=True)
class SessionSet:
    """A data set as one person gets it."""

    folder: str
    classes: tuple[str, ...]
    images: int
    objects: bool = False


SETS = {
    "hippocampus": SessionSet("hippocampus", ("anterior", "posterior"), 16),
    "nuclei": SessionSet("dsb2018-nuclei", ("nucleus",), 30, objects=True),
}


Pairs = tuple[tuple[Path, Path], ...]


def pairs_of(data_set: SessionSet, data: Path, split: str, count: int, seed: int) -> Pairs:
    """So many images with their truths, in a person's order."""
    folder = data / data_set.folder
    names = np.random.default_rng(seed).permutation(sorted(in_split(folder, split)))[:count]
    return tuple((folder / "images" / name, folder / "labels" / name) for name in names)


def session(data_set: SessionSet, pairs: Pairs, seed: int, ways: Ways = Ways()) -> Iterator[Row]:
    """One person's session from an empty project to the last image."""
    subject = Subject(data_set.folder, pairs, data_set.classes)
    with tempfile.TemporaryDirectory(prefix="session-") as folder:
        store = Store(Path(folder) / "project")
        keep_settings(
            store, LearnSettings(settle_seconds=0, seconds=9999, steps=ROUND_STEPS, predict_seconds=9999)
        )
        workflow = Workflow(store, PromptService(store))
        background = Background(store, workflow.folds, SerialExecutor(), learn=True, publish=lambda _: None)
        workflow.background = background
        try:
            yield from _worked(Person(workflow, background, ways), subject, data_set, seed)
        finally:
            workflow.close()


def _worked(person: Person, subject: Subject, data_set: SessionSet, seed: int) -> Iterator[Row]:
    store = person.workflow.store
    for name in subject.classes:
        store.add_class(name)
    masks = {import_path(store, image, Job("import")).added[0]: mask for image, mask in subject.pairs}
    scores, things = [], 0
    told = Told()

    def truth(image_id: int) -> NDArray[np.uint8]:
        """(Z, Y, X) classes."""
        if data_set.objects:
            return (numbers_of(store, image_id, masks[image_id]) > 0).astype(np.uint8)
        return truth_of(store, image_id, masks[image_id], subject)

    for image_id, mask in masks.items():
        person.act(OPEN_SECONDS)
        if data_set.objects:
            numbers = numbers_of(store, image_id, mask)
            things += len(np.unique(numbers)) - 1
            work_on_picture(person, image_id, numbers)
        else:
            work_on_volume(person, image_id, truth_of(store, image_id, mask, subject))
        person.learn()
        learner = person.background.scheduler.active[0]
        told.add((store, learner), truth, [other for other in masks if not store.labels(other)])
    for image_id, mask in masks.items():
        known, objects = said_of(person, image_id)
        if data_set.objects:
            scores.append(precision(objects, numbers_of(store, image_id, mask)))
        else:
            scores.append(mean_dice(known, truth_of(store, image_id, mask, subject)))

    def row(metric: str, value: float, n: int) -> Row:
        return Row(data_set.folder, "session", metric, value, n=n, seed=seed)

    yield row("AP@0.5" if data_set.objects else "Dice", float(np.mean(scores)), len(scores))
    yield row("worst", float(np.min(scores)), len(scores))
    yield row("actions", person.actions, len(scores))
    yield row("minutes", person.seconds / 60, len(scores))
    yield from (row(metric, value, n) for metric, value, n in told.rows())
    if data_set.objects:
        yield row("actions an object", person.actions / max(1, things), things)
        return
    yield row("slices", person.slices, len(scores))
    if person.fell:
        yield row("worse", float(np.mean([change < -MARGIN for change in person.fell])), len(person.fell))
        yield row("change a slice", float(np.mean(person.fell)), len(person.fell))


# volumes


def work_on_volume(person: Person, image_id: int, truth: NDArray[np.uint8]) -> None:
    """Slices where the app asks for them, until the proposal will do."""
    before, redraws = _dice(person, image_id, truth), person.ways.redraws
    for _ in range(MOST_SLICES):
        if redraws and before is not None and before < GOAL:
            redraws = False
            person.redraw(image_id)
            before = _dice(person, image_id, truth)
        if before is not None and before >= GOAL:
            break
        ref = _asked_for(person, image_id)
        if ref is None:
            break
        label_slice(person, ref, plane(truth, ref.axis, ref.index))
        person.wait()
        now = _dice(person, image_id, truth)
        if before is not None and now is not None:
            person.fell.append(now - before)
        before = now
    if before is not None:
        person.accept(image_id)


def label_slice(person: Person, ref: SliceRef, truth: NDArray[np.uint8]) -> None:
    """Draw what the page shows wrongly on a slice, class by class, and say that it is complete."""
    person.act(SLICE_SECONDS)
    person.slices += 1
    with person.workflow.folds.lock:
        known = plane(person.workflow.folds.get(ref.image_id).known(), ref.axis, ref.index).copy()
    for value in np.unique(truth[truth > 0]):
        missing = (truth == value) & (known != value)
        if missing.any():
            person.act(DRAW_SECONDS + DRAW_PER_PIXEL * contour((truth == value).astype(np.uint8)))
            person.draw(ref, truth == value, int(value))
    person.complete(ref)


def _asked_for(person: Person, image_id: int) -> SliceRef | None:
    """The slice that the page leads to: of the guided start, then the one in most doubt."""
    proposals, folds = person.background.proposals, person.workflow.folds
    if not proposals.available(image_id):
        guided = guide(person.workflow.store, folds, image_id, 2)
        if guided["now"] is not None:
            step = guided["steps"][guided["now"]]
            return SliceRef(image_id, step["axis"], step["index"])
    step = proposals.next_slice(image_id)
    return None if step["axis"] is None else SliceRef(image_id, step["axis"], step["index"])


def _dice(person: Person, image_id: int, truth: NDArray[np.uint8]) -> float | None:
    shown = person.proposed(image_id)
    return None if shown is None else mean_dice(shown, truth)


# pictures of objects


def work_on_picture(person: Person, image_id: int, numbers: Truth) -> None:
    """Take what is proposed, strike out what is wrong, click what is missing."""
    truth, ref = numbers[0], SliceRef(image_id, 0, 0)
    if _pays(_proposed_objects(person, image_id), truth):
        try:
            person.accept(image_id, number=True)
            _strike_out(person, ref, truth)
        except Refused:  # nothing there is free to be accepted
            pass
    for value in np.unique(truth[truth > 0]):
        objects = said_of(person, image_id)[1]
        if precision(objects, numbers) >= GOAL_AP:
            break
        if best_overlap(objects[0], truth == value) < MATCH:
            click_object(person, ref, truth == value)
    person.complete(ref)


def _proposed_objects(person: Person, image_id: int) -> NDArray[np.uint16]:
    """(Y, X) numbers of what is proposed; 0 everywhere where nothing is."""
    row = person.workflow.store.predictions.newest(image_id, None)
    if row is None:
        return np.zeros(person.workflow.store.image(image_id).shape[1:], np.uint16)
    numbers = row.objects()
    return np.asarray(components(row.classes()[0] == 1)[0] if numbers is None else numbers[0], np.uint16)


def _pays(proposed: NDArray[np.uint16], truth: NDArray[np.uint16]) -> bool:
    """Whether more of it is right than is to be struck out: people see that."""
    every = np.unique(proposed[proposed > 0])
    right = sum(best_overlap(truth, proposed == number) >= MATCH for number in every)
    return 2 * right > len(every)


def _strike_out(person: Person, ref: SliceRef, truth: NDArray[np.uint16]) -> None:
    """Say of each accepted object that is none, or that joins several, that it is background: one click each."""
    objects = said_of(person, ref.image_id)[1][0]
    for number in np.unique(objects[objects > 0]):
        mask = objects == number
        if best_overlap(truth, mask) < MATCH:
            person.act(CLICK_SECONDS)
            person.draw(ref, mask, BACKGROUND)


def click_object(person: Person, ref: SliceRef, truth: NDArray[np.bool_]) -> None:
    """Click the deepest point, a second time where the mask is wrong, and keep it."""
    image = person.workflow.store.image(ref.image_id)
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    mask = np.zeros(truth.shape, bool)
    for _ in range(TRIES):
        missed, wrong = depth(truth & ~mask), depth(mask & ~truth)
        positive = missed.max() >= wrong.max()
        row, column = np.unravel_index(int((missed if positive else wrong).argmax()), truth.shape)
        points.append((float(row), float(column)))
        labels.append(int(positive))
        asked = {"seq": len(points), "window": image.window, "points": tuple(points), "labels": tuple(labels)}
        told, bits = person.workflow.predict(_message(PredictMessage, "predict", **_place(ref), **asked), b"")
        mask = _first_candidate(told, bits, truth.shape)
        person.act(CLICK_SECONDS)
        if (mask & truth).sum() / max(1, (mask | truth).sum()) >= MATCH:
            break
    if mask.any():
        person.act(0.0, 0 if person.ways.at_once and len(points) == 1 else 1)  # Enter
        person.draw(ref, mask, 1, source="prompted", instance=-1)


def _first_candidate(told: dict[str, Any], bits: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(rows, columns) the mask that the page shows first."""
    out = np.zeros(shape, bool)
    first = told["candidates"][0]
    r0, c0, r1, c1 = first["box"]
    out[r0:r1, c0:c1] = unpack_bits(bits[first["offset"] :][: first["bytes"]], (r1 - r0, c1 - c0))
    return out


def precision(objects: Truth, truth: Truth) -> float:
    """Average precision at IoU 0.5 of one picture: right / (right + missed + wrong)."""
    found = [int(n) for n in np.unique(objects) if n]
    wanted = [int(n) for n in np.unique(truth) if n]
    right = sum(best_overlap(objects, truth == number) > MATCH for number in wanted)
    return right / max(1, len(found) + len(wanted) - right)


def best_overlap(numbers: NDArray[np.uint16], mask: NDArray[np.bool_]) -> float:
    """The highest IoU that any object has with a mask."""
    inside, counts = np.unique(numbers[mask], return_counts=True)
    sizes = {int(n): int((numbers == n).sum()) for n in inside if n}
    area = int(mask.sum())
    return max(
        (c / (sizes[n] + area - c) for n, c in zip(inside.tolist(), counts.tolist()) if n), default=0.0
    )


def said_of(person: Person, image_id: int) -> tuple[NDArray[np.uint8], Truth]:
    """(Z, Y, X) classes, background where nobody said anything, and object numbers."""
    with person.workflow.folds.lock:
        folded = person.workflow.folds.get(image_id)
        known = folded.known().copy()
        numbers = None if folded.instances is None else folded.instances.copy()
    known[known == UNLABELLED] = BACKGROUND
    return known, np.zeros(known.shape, np.uint16) if numbers is None else np.where(known > 0, numbers, 0)


def numbers_of(store: Store, image_id: int, mask: Path) -> Truth:
    """(1, Y, X) the object numbers of a mask file; pieces where it holds classes."""
    values, _ = read_labels(mask)
    out = values.reshape(store.image(image_id).shape)
    return (out if out.max() > 1 else components(out > 0)[0]).astype(np.uint16)


def _place(ref: SliceRef) -> dict[str, int]:
    return {"image": ref.image_id, "axis": ref.axis, "index": ref.index}


def _message(kind: type, t: str, **fields: Any) -> Any:
    own = {} if kind is PredictMessage else {"id": uuid.uuid4().hex}
    return kind(t=t, **own, **fields)


if __name__ == "__main__":
    main()
