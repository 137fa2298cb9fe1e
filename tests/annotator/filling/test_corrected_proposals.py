"""What learners propose for an image is corrected by its labels at once, and fills start from it."""

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from annotator.background import Background
from annotator.filling.fill_worker import FillWorker
from annotator.labels.changes import Changes
from annotator.labels.label_cache import LabelCache
from annotator.learning.quality.corrections import Corrections, proposal_dice
from annotator.learning.round_inputs import Inputs
from annotator.protocol.incoming import AcceptMessage
from annotator.protocol.outgoing import Message
from learners.engines import SerialExecutor
from learners.propagate.process import Filler
from learners.spec import Example
from storage.arrays import BACKGROUND, UNLABELLED, SliceRef, plane
from storage.fold import fold
from storage.predictions import Expected, NewPrediction, PredictionRow
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.conftest import drawn

SHAPE, SPACING = (18, 29, 40), (2.0, 1.0, 1.0)
SECONDS = 300  # for fills that take one, on a crowded machine
GUIDED = 10  # the slice that shows both classes
ONE_CLASS = 5  # a slice that shows the first alone


def scan_of(shape: tuple[int, int, int], name: str) -> tuple[Scan, NDArray[np.uint8]]:
    """Two ellipsoids (or disks, in a picture) in noise, with their truth."""
    grid, truth = np.indices(shape), np.zeros(shape, np.uint8)
    for value, middle, radius in (
        (1, (0.45, 0.45, 0.3), (0.32, 0.3, 0.2)),
        (2, (0.62, 0.55, 0.72), (0.25, 0.3, 0.17)),
    ):
        parts = [(g / n - m) / r for g, n, m, r in zip(grid, shape, middle, radius) if n > 1]
        truth[sum(part**2 for part in parts) < 1] = value
    noise = np.random.default_rng(0).normal(0, 8, shape)
    pixels = np.clip(np.array([50, 100, 150])[truth] + noise, 0, 255).astype(np.uint8)
    return Scan(name, pixels, spacing_mm=SPACING, marks=(("S", "I"), ("A", "P"), ("R", "L"))), truth


def like_an_atlas(truth: NDArray[np.uint8], dice: float = 0.8) -> NDArray[np.uint8]:
    """The truth, bent smoothly until so much of it overlaps."""
    rng = np.random.default_rng(1)
    field = np.stack([gaussian_filter(rng.normal(size=truth.shape), 5) for _ in range(3)])
    field /= np.abs(field).mean()
    grid, amount = np.indices(truth.shape), 0.0
    found = truth
    while mean_dice(found, truth) > dice + 0.01:
        amount += 0.05
        found = map_coordinates(truth, grid + amount * field, order=0, mode="nearest")
    return found


def dice(found: NDArray[np.uint8], truth: NDArray[np.uint8], value: int) -> float:
    a, b = found == value, truth == value
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def mean_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    return (dice(found, truth, 1) + dice(found, truth, 2)) / 2


class Project:
    """A volume and a picture, each with its truth, and the fills of the app."""

    def __init__(self, store: Store) -> None:
        self.store, self.folds = store, LabelCache(store)
        for name in ("one", "two"):
            store.add_class(name)
        (volume, self.truth), (picture, self.flat) = scan_of(SHAPE, "volume"), scan_of((1, 40, 60), "picture")
        self.image, self.picture = store.add_image(volume), store.add_image(picture)
        self.fills = FillWorker(store, self.folds, Filler(), redrawer=Filler())

    def propose(self, classes: NDArray[np.uint8], producer: str = "atlas", image: int = 0) -> PredictionRow:
        """A learner's proposal, as a round publishes it."""
        sure = np.full(classes.shape, 190, np.uint8)
        seen = self.store.newest_label()
        new = NewPrediction(
            image or self.image, producer, "predicted", seen, classes, sure, expected=Expected(0.8, 0.7, 0.9)
        )
        return self.store.predictions.add(new)

    def label(self, axis: int, index: int, classes: NDArray[np.uint8], image: int = 0) -> NewLabel:
        """Draw on a slice, wait for what becomes of it."""
        new = drawn(SliceRef(image or self.image, axis, index), classes)
        self.folds.add(self.store.add_label(new), new.patch)
        self.settle(image)
        return new

    def complete(self, axis: int, index: int) -> None:
        """The truth on a slice, all of it."""
        self.label(axis, index, plane(self.truth, axis, index).copy())
        whole = NewLabel(SliceRef(self.image, axis, index), None, uuid.uuid4().hex, "ann")
        self.folds.add(self.store.add_label(whole), None)
        self.settle()

    def undo(self, label: NewLabel) -> None:
        self.store.revoke(label.client_id, client_id=uuid.uuid4().hex, author="ann")
        self.folds.forget(self.image)
        self.settle()

    def settle(self, image: int = 0) -> None:
        self.fills.refresh(image or self.image)
        assert self.fills.idle(SECONDS)

    def of(self, producer: str, image: int = 0) -> PredictionRow:
        row = self.store.predictions.newest(image or self.image, producer)
        assert row is not None
        return row


@pytest.fixture
def project(store: Store) -> Iterator[Project]:
    project = Project(store)
    yield project
    project.fills.close()


@pytest.mark.parametrize("axis, index", [(0, GUIDED), (0, ONE_CLASS), (2, 12), (1, 12)])
def test_a_good_proposal_gets_better_by_a_correct_slice(project: Project, axis: int, index: int):
    before = like_an_atlas(project.truth)
    assert 0.77 < mean_dice(before, project.truth) < 0.82
    project.propose(before)
    project.complete(axis, index)
    for producer in ("random_walker", "atlas"):
        after = project.of(producer).classes()
        assert mean_dice(after, project.truth) > mean_dice(before, project.truth), producer
        assert (plane(after, axis, index) == plane(project.truth, axis, index)).all()


def test_a_class_that_is_not_on_the_slice_keeps_its_proposal(project: Project):
    before = like_an_atlas(project.truth)
    assert set(np.unique(project.truth[ONE_CLASS])) == {0, 1}
    project.propose(before)
    project.complete(0, ONE_CLASS)
    after = project.of("random_walker").classes()
    assert dice(after, project.truth, 2) >= dice(before, project.truth, 2) > 0.7


def test_every_further_slice_corrects_the_producer_that_somebody_chose(project: Project):
    project.propose(like_an_atlas(project.truth))
    shown = [project.of("atlas").id]
    values = [mean_dice(project.of("atlas").classes(), project.truth)]
    for axis, index in ((0, GUIDED), (1, 11), (2, 28)):
        project.complete(axis, index)
        shown.append(project.of("atlas").id)
        values.append(mean_dice(project.of("atlas").classes(), project.truth))
    assert values == sorted(values) and len(set(shown)) == 4, "each is a new one, and better"


def test_a_fill_names_the_proposal_that_it_started_from_and_so_do_labels_accepted_from_it(project: Project):
    project.propose(like_an_atlas(project.truth))
    project.complete(0, GUIDED)
    assert project.of("random_walker").prior == "atlas"
    where = {"image": project.image, "axis": 0, "lo": 2, "hi": 4}
    message = AcceptMessage.model_validate({"t": "accept", "id": "all", **where, "producer": "random_walker"})
    Changes(project.store, project.folds).take("ann", message, b"")
    last = project.store.labels(project.image)[-1]
    assert last.prompts["accepted"]["prior"] == "atlas"


def test_a_proposal_learned_from_the_labels_themselves_does_not_replace_their_fill(project: Project):
    labelled: list[tuple[int, int]] = []
    for axis, index in ((0, GUIDED), (1, 14), (2, 12), (2, 28)):
        project.complete(axis, index)
        labelled.append((axis, index))
        before = mean_dice(project.of("random_walker").classes(), project.truth)
        knows_it = like_an_atlas(project.truth, 0.6)
        for a, k in labelled:  # as a network that was trained on these slices
            plane(knows_it, a, k)[...] = plane(project.truth, a, k)
        project.propose(knows_it)
        project.settle()
        row = project.of("random_walker")
        assert row.prior is None and mean_dice(row.classes(), project.truth) >= before - 0.02


def test_what_is_taken_back_no_longer_corrects(project: Project):
    before = like_an_atlas(project.truth)
    project.propose(before)
    wrong = project.label(0, GUIDED, np.roll(project.truth[GUIDED], 9, 0))
    assert (project.of("atlas").classes() != before).any()
    project.undo(wrong)
    assert (project.of("atlas").classes() == before).all()
    assert [row.producer for row in project.store.predictions.of(project.image)] == ["atlas"]
    files = {path.name for path in project.store.predictions.directory.iterdir()}
    assert len(files) == 2, "classes and confidence, nothing else"


def test_what_people_changed_is_measured_on_the_proposal_as_it_was_made(project: Project):
    made = project.propose(like_an_atlas(project.truth))
    project.complete(0, GUIDED)
    row = project.of("atlas")
    assert row.seen_label == made.seen_label
    labels = project.store.labels(project.image)
    assert proposal_dice(fold(SHAPE, labels).known(), row.classes_path, (1, 2)) == 1.0
    rounds, image = project.store.rounds, project.store.image(project.image)
    example = Example(image.id, image.path, SHAPE, 1, SPACING, fresh=True)
    Corrections(project.store, rounds).note("atlas", Inputs((example,), (1, 2), (), ()))
    noted = rounds.corrections("atlas")
    assert len(noted) == 1 and 0.6 < noted[0].dice < 0.95


def test_in_a_picture_a_label_corrects_the_object_and_leaves_the_others(project: Project):
    before = project.flat.copy()
    before[0, 10:22, 10:16] = BACKGROUND  # part of the first object is missing
    before[0, 0:4, 50:58] = 2  # and there is one that is none
    project.propose(before, image=project.picture)
    first = np.where(project.flat[0] == 1, 1, UNLABELLED).astype(np.uint8)
    project.label(0, 0, first, project.picture)
    after = project.of("atlas", project.picture).classes()
    assert (after[project.flat == 1] == 1).all() and (after[0, :, 36:] == before[0, :, 36:]).all()
    assert [row.producer for row in project.store.predictions.of(project.picture)] == ["atlas"]


def test_a_new_proposal_for_a_labelled_volume_is_corrected_before_anybody_asks(store: Store):
    project = Project(store)
    told: list[Message] = []
    project.fills.close()
    background = Background(store, project.folds, SerialExecutor(), learn=False, publish=told.append)
    project.fills = background.fills
    try:
        project.complete(0, GUIDED)
        made = project.propose(like_an_atlas(project.truth))
        background.tell({"t": "proposal", "image": project.image})
        background.tell({"t": "proposal", "image": project.picture})  # nobody labelled it
        assert background.fills.idle(SECONDS)
        row = project.of("atlas")
        assert row.id != made.id and (row.classes()[GUIDED] == project.truth[GUIDED]).all()
        assert [m["image"] for m in told if m["t"] == "fill" and m["state"] == "done"] == [project.image] * 3
        assert [m["image"] for m in told if m["t"] == "proposal"] == [project.image, project.picture]
    finally:
        background.close()


def test_what_was_proposed_before_this_version_is_corrected_when_somebody_looks(project: Project):
    project.complete(0, GUIDED)
    project.propose(like_an_atlas(project.truth))
    looking = FillWorker(project.store, project.folds, Filler())
    try:
        looking.catch_up(project.image)
        assert looking.idle(SECONDS)
        assert (project.of("atlas").classes()[GUIDED] == project.truth[GUIDED]).all()
    finally:
        looking.close()
