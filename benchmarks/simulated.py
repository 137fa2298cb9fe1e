"""The simulated annotator: opens what the queue says, draws the truth through the real workflow, and counts seconds."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.learning.label_queue import LabelQueue
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings
from annotator.learning.targets import named_channels
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import CompleteMessage, LabelMessage
from annotator.workflow import Workflow
from learners.engines import SerialExecutor
from storage.arrays import SliceRef, plane
from storage.formats import lay_on, read_labels
from storage.formats.grid import grid_of_image
from storage.store import Store

USER = "simulated"
# Seconds of a person, ../shared/benchmarks.md (c2): most are published medians, the first and last assumptions.
OPEN_SECONDS, SLICE_SECONDS, DRAW_SECONDS, DRAW_PER_PIXEL = 2.0, 1.0, 5.0, 0.24


@dataclass(frozen=True)
class Subject:
    """A data set as a project takes it in: image and mask files, and how mask values become classes."""

    name: str
    pairs: tuple[tuple[Path, Path], ...]
    classes: tuple[str, ...]
    objects: bool = False  # every value is one object of the first class
    whole_images: bool = True  # the unit of a label is the picture; else a slice of a volume


@dataclass
class Annotator:
    """One person at one project. Truth is read here and leaves only as labels."""

    subject: Subject
    workflow: Workflow
    scheduler: Scheduler
    masks: dict[int, Path]  # image -> its mask file
    seconds: float = 0.0
    drawn: int = 0  # pictures or slices
    seed: int = 0
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def label_random(self, count: int) -> None:
        """The same start for every method."""
        images = sorted(self.masks)
        for image_id in self._rng.permutation(images)[:count]:
            self.label_whole(int(image_id))

    def label_next(self, count: int, ranker: str) -> None:
        """What the queue asks for, in its order."""
        queue = LabelQueue(self.scheduler, draw=self.seed)
        items = queue.next(count, ranker, whole_images=self.subject.whole_images)["items"]
        for item in items:
            if self.subject.whole_images and self.workflow.store.image(item["image"]).shape[0] == 1:
                self.label_slice(SliceRef(item["image"], 0, 0))
            else:
                self.label_slice(SliceRef(item["image"], item["axis"], item["index"]))

    def label_whole(self, image_id: int) -> None:
        for index in range(self.workflow.store.image(image_id).shape[0]):
            self.label_slice(SliceRef(image_id, 0, index))

    def label_slice(self, ref: SliceRef) -> None:
        """Draw the truth of a slice and say that it is complete, as the page would send it."""
        truth = np.ascontiguousarray(plane(self.truth(ref.image_id), ref.axis, ref.index))
        place: dict[str, Any] = {"image": ref.image_id, "axis": ref.axis, "index": ref.index}
        took = OPEN_SECONDS + SLICE_SECONDS
        rows, columns = np.nonzero(truth)
        if len(rows):
            box = [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]
            part = truth[box[0] : box[2], box[1] : box[3]]
            took += DRAW_SECONDS + DRAW_PER_PIXEL * contour(truth)
            said: dict[str, Any] = {"box": tuple(box), "source": "drawn", "base_rev": 0, "seconds": took}
            message = LabelMessage(t="label", id=uuid.uuid4().hex, **place, **said)
            self.workflow.commit(USER, message, encode_runs(part))
        complete = CompleteMessage(t="complete", id=uuid.uuid4().hex, **place, on=True)
        self.workflow.commit(USER, complete, b"")
        self.seconds += took
        self.drawn += 1

    def truth(self, image_id: int) -> NDArray[np.uint8]:
        """(Z, Y, X) class ids in display order."""
        return truth_of(self.workflow.store, image_id, self.masks[image_id], self.subject)


def truth_of(store: Store, image_id: int, mask: Path, subject: Subject) -> NDArray[np.uint8]:
    """(Z, Y, X) class ids on the image's grid."""
    image = store.image(image_id)
    values, own = read_labels(mask)
    values = lay_on(values, own, grid_of_image(image.geometry, image.shape, image.spacing_mm))
    return ((values > 0) if subject.objects else values).astype(np.uint8)


def contour(truth: NDArray[np.uint8]) -> int:
    """Pixels of a slice whose right or lower neighbour is of another class."""
    edge = np.zeros(truth.shape, bool)
    edge[:-1] |= truth[:-1] != truth[1:]
    edge[:, :-1] |= truth[:, :-1] != truth[:, 1:]
    return int(edge.sum())


@contextmanager
def project(
    folder: Path,
    subject: Subject,
    settings: LearnSettings,
    seed: int,
    tell: Callable[[dict[str, Any]], None] = lambda message: None,
) -> Iterator[Annotator]:
    """A fresh project with the subject's images imported, and somebody to label them."""
    store = Store(folder)
    workflow = Workflow(store, PromptService(store))
    scheduler = Scheduler(store, SerialExecutor(), settings=settings, publish=tell)
    try:
        for name in subject.classes:
            store.add_class(name)
        masks = {}
        for image, mask in subject.pairs:
            (image_id,) = import_path(store, image, Job("import")).added
            masks[image_id] = mask
        yield Annotator(subject, workflow, scheduler, masks, seed=seed)
    finally:
        scheduler.close()
        workflow.close()


def test_dice(
    model: Path, pairs: Sequence[tuple[Path, Path]], subject: Subject, folder: Path
) -> float | None:
    """The mean over images nobody labelled of the mean Dice over classes; empty against empty says nothing."""
    from learners.prediction.metrics import dice_of, mean_dice, overlaps
    from learners.prediction.predict import class_map
    from learners.spec import Example
    from learners.training.checkpoint import load_network, read_card
    from learners.training.data import ImageReader
    from learners.training.plan import Plan
    from learners.training.targets import Classes

    card, network = read_card(model), load_network(model)
    plan = Plan(card.network, (), 1, "cpu", False, card.spacing_mm)
    classes, scores = Classes(card.class_ids), []
    store = Store(folder)
    try:
        for image, mask in pairs:
            report = import_path(store, image, Job("import"))
            row = store.image(report.added[0])
            example = Example(
                row.id, row.path, row.shape, row.channels, row.spacing_mm, named=named_channels(row)
            )
            case = ImageReader(example, classes, card.network.channels, card.network.named)
            proposed = class_map(network, case, plan, classes)
            truth = truth_of(store, row.id, mask, subject)
            wanted = range(1, len(subject.classes) + 1)
            scores.append(dice_of(overlaps(proposed, truth, wanted, np.ones(truth.shape, bool))))
    finally:
        store.close()
    return mean_dice(scores)
