"""Actions a nucleus in pictures of about sixty: from an empty project, and with a model of four labelled pictures.

    python -m benchmarks.session_nuclei [--quick] [--seeds N] [--json FILE]

A scripted person, through the messages that the page sends, as in `benchmarks.session`. From nothing: *Find objects*,
one press. With a model: four pictures of the same kind are labelled, and the app's learner has trained on them for
STEPS steps. Then the person sets the slider *Certain* where it saves most, accepts what is shown by Y, and right-clicks
what is wrong. What joins two nuclei is cut by a line. A missing nucleus is clicked, with *Accept each
click at once*, and drawn once clicks have failed twice in a picture. All that until the average precision is GOAL_AP.
One action is one key, click or drag, or one picture opened. The pictures are of the split `val`, which the built-in
prompt model never saw. --pictures writes what is proposed at first beside the truth.
"""

import csv
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from annotator.background import Background
from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.learning.settings import LearnSettings, keep_settings
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import AcceptMessage, ObjectsMessage
from annotator.workflow import Refused, Workflow
from benchmarks.common import Row, finish, parser
from benchmarks.session import (
    ACCEPT_SECONDS,
    CLICK_SECONDS,
    GOAL_AP,
    MATCH,
    Person,
    Truth,
    Ways,
    best_overlap,
    click_object,
    numbers_of,
    precision,
    said_of,
)
from benchmarks.simulated import DRAW_PER_PIXEL, DRAW_SECONDS, OPEN_SECONDS, contour
from learners.engines import SerialExecutor
from learners.objects.tallies import least_sure
from storage.arrays import UNLABELLED, Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.store import Store

SET = "dsb2018-nuclei"
MANY = range(40, 81)  # nuclei of a picture
TAUGHT = 4
STEPS = 300  # of the learner
CUTS = [n / 20 for n in range(19)]  # where the slider can stand: the share of objects that it hides
SIDE, ENLARGED, OUTLINE = 128, 3, np.array([0, 220, 255], np.uint8)  # of the pictures: pixels, times, BGR
WAYS = ("delete", "split", "click", "draw")
PATIENCE = 2  # nuclei that a click did not find; from then on the person draws


@dataclass(frozen=True)
class Case:
    """A picture to work on, and what is labelled before."""

    kind: str
    picture: Path
    taught: tuple[Path, ...] = ()
    drawn: Path | None = None  # the folder for pictures of what is proposed
    draws: bool = True  # the person draws where clicks fail


def main() -> None:
    asked = parser(__doc__.splitlines()[0])
    asked.add_argument(
        "--pictures", type=Path, help="folder for pictures of what is proposed beside the truth"
    )
    asked.add_argument("--clicks-alone", action="store_true", help="the person never draws")
    options = asked.parse_args()
    rows: list[Row] = []
    for seed in range(1 if options.quick else options.seeds):
        for case in cases(options.data / SET, seed, quick=options.quick):
            for row in worked(replace(case, drawn=options.pictures, draws=not options.clicks_alone), seed):
                print(row.set, row.method, row.metric, round(row.value, 3), flush=True)
                rows.append(row)
    finish(rows, options.json)


def cases(folder: Path, seed: int, *, quick: bool) -> Iterator[Case]:
    """Of each kind of pictures, those that are crowded enough: from nothing, then after four of the same kind."""
    with open(folder / "split.csv") as file:
        table = list(csv.DictReader(file))
    rng = np.random.default_rng(seed)
    for kind in sorted({row["domain"] for row in table}):
        own = [row for row in table if row["domain"] == kind]
        train = [folder / "images" / row["file"] for row in own if row["split"] == "train"]
        crowded = [row for row in own if row["split"] == "val" and int(row["nuclei"]) in MANY]
        if not crowded or len(train) < TAUGHT:
            continue
        picture = folder / "images" / crowded[int(rng.integers(len(crowded)))]["file"]
        chosen = rng.permutation(len(train))[:TAUGHT]
        if not quick:
            yield Case(kind, picture)
        yield Case(kind, picture, tuple(train[n] for n in chosen))


def worked(case: Case, seed: int) -> Iterator[Row]:
    """What one picture took, and how good it is then."""
    with tempfile.TemporaryDirectory(prefix="session-") as folder:
        store = Store(Path(folder) / "project")
        keep_settings(store, LearnSettings(settle_seconds=0, seconds=9999, steps=STEPS, predict_seconds=9999))
        workflow = Workflow(store, PromptService(store))
        background = Background(store, workflow.folds, SerialExecutor(), learn=True, publish=lambda _: None)
        workflow.background = background
        try:
            store.add_class("nucleus")
            person = Person(workflow, background, Ways(at_once=True))
            for path in case.taught:
                teach(store, added(store, path), mask_of(path))
            image_id = added(store, case.picture)
            truth = numbers_of(store, image_id, mask_of(case.picture))
            if case.taught:
                person.learn()
            yield from finished(person, (image_id, truth), case, seed)
        finally:
            workflow.close()


def finished(person: Person, asked: tuple[int, Truth], case: Case, seed: int) -> Iterator[Row]:
    """`asked`: the picture that is open, and its nuclei."""
    image_id, truth = asked
    proposed = begin(person, image_id, found=not case.taught)
    if case.drawn is not None:
        write_beside(case, proposed, truth[0])
    before, done = precision(proposed[None], truth), work(person, image_id, truth, case.draws)
    count, said = len(np.unique(truth)) - 1, said_of(person, image_id)[1]
    name, method = f"{SET}, {case.kind}", f"{len(case.taught)} labelled"
    for metric, value in (
        ("AP@0.5 proposed", before),
        ("AP@0.5", precision(said, truth)),
        ("actions", person.actions),
        ("actions a nucleus", person.actions / count),
        ("minutes", person.seconds / 60),
        *((way, done[way]) for way in WAYS),
    ):
        yield Row(name, method, metric, float(value), n=count, seed=seed)


def write_beside(case: Case, proposed: NDArray[np.uint16], truth: NDArray[np.uint16]) -> None:
    """The middle of the picture three times: alone, with what is proposed, with the truth, each object outlined."""
    assert case.drawn is not None
    pixels = cv2.imread(str(case.picture), cv2.IMREAD_COLOR)
    assert pixels is not None
    r0, c0 = ((n - SIDE) // 2 for n in truth.shape)
    part = np.s_[max(0, r0) : max(0, r0) + SIDE, max(0, c0) : max(0, c0) + SIDE]
    shown = pixels[part].astype(np.float32)
    grey = np.asarray(255 * (shown - shown.min()) / max(1.0, float(np.ptp(shown))), np.uint8)
    large = cv2.resize(grey, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_LINEAR)
    panels = [large]
    for numbers in (proposed, truth):
        wide = np.kron(numbers[part], np.ones((ENLARGED, ENLARGED), np.uint16))
        panels.append(np.where(find_boundaries(wide, mode="inner")[..., None], OUTLINE, large))
    case.drawn.mkdir(parents=True, exist_ok=True)
    name = f"nuclei_{case.kind}_{len(case.taught)}_labelled.png"
    cv2.imwrite(str(case.drawn / name), np.hstack(panels))


def added(store: Store, path: Path) -> int:
    return import_path(store, path, Job("import")).added[0]


def mask_of(path: Path) -> Path:
    return path.parent.parent / "labels" / path.name


def teach(store: Store, image_id: int, mask: Path) -> None:
    """As a person who has finished a picture: each nucleus with its number, the rest background."""
    numbers = numbers_of(store, image_id, mask)[0]
    patch = Patch(Box(0, 0, *numbers.shape), (numbers > 0).astype(np.uint8), numbers)
    ref = SliceRef(image_id, 0, 0)
    store.add_label(NewLabel(ref, patch, uuid.uuid4().hex, "ann", instance=int(numbers.max())))
    store.add_label(NewLabel(ref, None, uuid.uuid4().hex, "ann"))


def begin(person: Person, image_id: int, *, found: bool) -> NDArray[np.uint16]:
    """Open the picture, and press *Find objects* where nothing is proposed; (Y, X) numbers of what is."""
    person.act(OPEN_SECONDS)
    if found:
        person.act(ACCEPT_SECONDS)
        person.background.fills.find_objects(image_id, 1)
        while person.background.fills.under_way(image_id):
            time.sleep(0.05)
    person.wait()
    row = person.workflow.store.predictions.newest(image_id, None)
    numbers = None if row is None else row.objects()
    return np.zeros(truth_shape(person, image_id), np.uint16) if numbers is None else np.array(numbers[0])


def truth_shape(person: Person, image_id: int) -> tuple[int, ...]:
    return person.workflow.store.image(image_id).shape[1:]


def work(person: Person, image_id: int, numbers: Truth, draws: bool) -> Counter[str]:
    """Accept, strike out, cut, click, draw, until it is good enough; how many objects each way."""
    done = Counter[str]()
    truth, ref = numbers[0], SliceRef(image_id, 0, 0)
    shown, moved = best_shown(person, image_id, truth)
    if shown.any():
        person.act(CLICK_SECONDS * moved, int(moved))
        accept_shown(person, ref, shown)
        mend(person, ref, numbers, done)
    failed = 0
    for value in np.unique(truth[truth > 0]):
        objects = said_of(person, image_id)[1]
        if precision(objects, numbers) >= GOAL_AP:
            break
        nucleus = truth == value
        if best_overlap(objects[0], nucleus) >= MATCH:
            continue
        if failed < PATIENCE or not draws:
            done["click"] += 1
            click_object(person, ref, nucleus)
            failed += best_overlap(said_of(person, image_id)[1][0], nucleus) < MATCH
        else:
            done["draw"] += 1
            person.act(DRAW_SECONDS + DRAW_PER_PIXEL * contour(nucleus.astype(np.uint8)))
            person.draw(ref, nucleus, 1, instance=-1)
    return done


def best_shown(person: Person, image_id: int, truth: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], bool]:
    """(Y, X) numbers of the proposed objects that stay on screen where the slider saves most, and whether it moved."""
    row = person.workflow.store.predictions.newest(image_id, None)
    objects = None if row is None else row.objects()
    if row is None or objects is None:
        return np.zeros(truth.shape, np.uint16), False
    numbers = np.array(objects[0])
    names, sure = least_sure(numbers, np.array(row.confidence()[0]))
    order = names[np.argsort(sure, kind="stable")].tolist()
    right = {n: best_overlap(truth, numbers == n) >= MATCH for n in order}
    wanted = len(np.unique(truth)) - 1

    def cost(cut: float) -> float:
        kept = order[int(cut * len(order)) :]
        good = sum(right[n] for n in kept)
        return (len(kept) - good) + max(0, GOAL_AP * wanted - good) + (cut > 0)

    cut = min(CUTS, key=cost)
    kept = order[int(cut * len(order)) :]
    return np.where(np.isin(numbers, kept), numbers, np.uint16(0)), cut > 0


def accept_shown(person: Person, ref: SliceRef, shown: NDArray[np.uint16]) -> None:
    """Y: the objects that the slider leaves."""
    person.act(ACCEPT_SECONDS)
    row = person.workflow.store.predictions.newest(ref.image_id, None)
    assert row is not None
    runs = encode_runs(np.where(shown > 0, row.classes()[0], np.uint8(UNLABELLED)))
    about = {"image": ref.image_id, "axis": 0, "lo": 0, "hi": 1, "number": True}
    seen = {"producer": row.producer, "prediction": row.id, "box": (0, 0, *shown.shape)}
    said = {"t": "accept", "id": uuid.uuid4().hex, **about, **seen}
    person.say(AcceptMessage.model_validate(said), runs)


def mend(person: Person, ref: SliceRef, numbers: Truth, done: Counter[str]) -> None:
    """Of what is labelled: cut what joins two nuclei, delete what is none."""
    truth = numbers[0]
    objects = said_of(person, ref.image_id)[1][0]
    for number in np.unique(objects[objects > 0]):
        if precision(said_of(person, ref.image_id)[1], numbers) >= GOAL_AP:
            return
        mask = objects == number
        if best_overlap(truth, mask) >= MATCH:
            continue
        line = between_two(truth, mask)
        at = tuple(int(v) for v in np.argwhere(mask)[len(np.argwhere(mask)) // 2])
        if line is not None:
            done["split"] += 1
            person.act(CLICK_SECONDS)
            try:
                act_on(person, ref, at, "split", line=line)
                continue
            except Refused:
                pass
        done["delete"] += 1
        person.act(CLICK_SECONDS)
        act_on(person, ref, at, "delete")


def act_on(person: Person, ref: SliceRef, at: tuple[int, ...], do: str, **more: object) -> None:
    about = {"image": ref.image_id, "axis": 0, "index": 0, "base_rev": person.workflow.store.newest_label()}
    said = {"t": "objects", "id": uuid.uuid4().hex, **about, "do": do, "at": ((0, *at),), **more}
    person.say(ObjectsMessage.model_validate(said))


def between_two(
    truth: NDArray[np.uint16], mask: NDArray[np.bool_]
) -> tuple[float, float, float, float] | None:
    """A line between the two nuclei that lie mostly in a mask; None where there are not two."""
    inside, counts = np.unique(truth[mask], return_counts=True)
    sizes = np.bincount(truth.ravel())
    whole = [int(n) for n, c in zip(inside, counts) if n and c >= MATCH * sizes[n]]
    if len(whole) != 2:
        return None
    one, two = (np.argwhere(mask & (truth == n)).mean(0) for n in whole)
    middle, across = (one + two) / 2, np.array([-(two - one)[1], (two - one)[0]])
    across = across / max(1e-6, float(np.hypot(*across))) * 2
    r0, c0, r1, c1 = (float(v) for v in (*(middle - across), *(middle + across)))
    return (r0, c0, r1, c1)


if __name__ == "__main__":
    main()
