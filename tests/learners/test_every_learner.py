"""The contract of a round, for every learner: those of the training loop and those with a round of their own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from learners import LEARNERS
from learners.prediction.label_guards import FILE as GUARDS
from learners.prediction.label_guards import read_guards
from learners.progress import (
    PROGRESS_FILE,
    STOP_FILE,
    ProgressReport,
    classes_file,
    confidence_file,
    read_progress,
)
from learners.rounds import run_round
from learners.spec import CARD, Example, RoundResult, RoundSpec, Tag, Unready
from learners.training.checkpoint import read_card
from storage.arrays import open_npy, write_npy
from tests.support.small_models import small_sam, small_tracker

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (12, 24, 28)
WANTED = (2, 3, 1)  # the order in which people want them
HELD = 3
TAGGED = (0, 1, 5, 6, 7, 11)  # three slices with the object and three without


def volume(folder: Path, image_id: int, *, known: bool, rolled: int = 0) -> Example:
    """A bright ellipsoid off the centre; of the held-out one the labels may be moved along to somewhere wrong."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    truth = ((z - 6) ** 2 * 3 + (y - 10) ** 2 + (x - 12 - image_id) ** 2 < 60).astype(np.uint8)
    noise = np.random.default_rng(image_id).normal(0, 10, SHAPE)
    write_npy(folder / f"{image_id}.npy", (70 + 90 * truth + noise).clip(0, 255).astype(np.uint8))
    truth = np.roll(truth, rolled, 2)
    write_npy(folder / f"{image_id}-known.npy", truth)
    return Example(
        image_id,
        folder / f"{image_id}.npy",
        SHAPE,
        1,
        (1.0, 1.0, 1.0),
        folder / f"{image_id}-known.npy" if known else None,
        all_held=image_id == HELD,
        slices=tuple((0, i) for i in range(SHAPE[0])) if known else (),
        tags=tuple(Tag(0, i, 1, bool(truth[i].any())) for i in TAGGED) if known else (),
    )


def spec_of(folder: Path, learner: str, *, rolled: int = 0) -> RoundSpec:
    (folder / "round").mkdir(parents=True)
    examples = (
        volume(folder, 1, known=True),
        volume(folder, 2, known=False),
        volume(folder, HELD, known=True, rolled=rolled),
    )
    return RoundSpec(
        learner, (1,), examples, folder / "round", seconds=60, steps=2, device="cpu", predict=WANTED
    )


@dataclass(frozen=True)
class Ended:
    spec: RoundSpec
    result: RoundResult

    def arrays(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        folder = self.spec.directory
        return np.array(open_npy(classes_file(folder, image_id))), np.array(
            open_npy(confidence_file(folder, image_id))
        )


@pytest.fixture(scope="module", params=LEARNERS)
def learner(request: pytest.FixtureRequest) -> str:
    if request.param == "reference_film":
        pytest.importorskip("transformers", reason="the optional extra for SAM 2 is not installed")
    return request.param


@pytest.fixture(scope="module")
def small_weights(learner: str) -> object:
    """Where a learner needs weights that no test can have: the genuine networks, small and with random ones."""
    with pytest.MonkeyPatch.context() as patched:
        if learner == "sfr":
            patched.setattr("learners.methods.sfr.sam_here", lambda prompts: (small_sam(), "small"))
        if learner == "reference_film":
            tracker = small_tracker()
            place = "learners.methods.reference.film_round.tracker_on_this_machine"
            patched.setattr(place, lambda *asked: tracker)
        yield None


@pytest.fixture(scope="module")
def ended(learner: str, small_weights: object, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """One round, from nothing."""
    spec = spec_of(tmp_path_factory.mktemp(learner) / "first", learner)
    return Ended(spec, run_round(spec))


@pytest.fixture(scope="module")
def misled(learner: str, small_weights: object, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same round with wrong labels on the held-out image; it is told to stop after the first prediction."""
    spec = spec_of(tmp_path_factory.mktemp(learner) / "second", learner, rolled=9)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ProgressReport, "done", stopping(ProgressReport.done, spec.directory / STOP_FILE))
        return Ended(spec, run_round(spec))


def stopping(done: Callable[..., None], stop_file: Path) -> Callable[..., None]:
    """As `done`, and then somebody asks the round to end."""

    def and_stop(report: ProgressReport, *told: object) -> None:
        done(report, *told)
        stop_file.touch()

    return and_stop


def test_the_result_says_what_was_made_and_how_good_it_is(ended: Ended):
    result, spec = ended.result, ended.spec
    assert result.model == spec.directory and result.parent_dice is None
    assert result.steps >= 1 and result.trained_seconds >= 0
    assert tuple(score.image_id for score in result.predicted) == WANTED and result.remaining == 0
    assert result.dice == result.child_dice, "an image is held out"
    assert result.dice is not None and 0 <= result.dice <= 1
    assert set(result.per_class) <= set(spec.class_ids)
    assert all(isinstance(note, str) and note for note in result.notes)
    for score in result.predicted:
        assert score.claimed is None or 0 <= score.claimed <= 1


def test_the_models_directory_has_a_card(learner: str, ended: Ended):
    cards = {path.name for path in ended.result.model.glob("*.json")} - {PROGRESS_FILE, GUARDS}
    assert read_guards(ended.result.model) is not None
    assert len(cards) == 1, cards
    if LEARNERS[learner].network:
        assert cards == {CARD}
        card = read_card(ended.result.model)
        assert card.learner == learner and card.class_ids == (1,) and card.rounds == 1
    else:
        assert json.loads((ended.result.model / cards.pop()).read_text("utf-8"))


def test_predictions_are_bytes_of_the_images_shape(ended: Ended):
    for image_id in WANTED:
        classes, confidence = ended.arrays(image_id)
        assert classes.dtype == confidence.dtype == np.uint8
        assert classes.shape == confidence.shape == SHAPE
        assert set(np.unique(classes)) <= {0, *ended.spec.class_ids}


def test_the_progress_file_says_in_the_end_that_every_image_is_done(ended: Ended):
    told = read_progress(ended.spec.directory)
    assert told is not None and told.phase == "predicting" and told.done == WANTED
    assert told.dice == pytest.approx(ended.result.dice, abs=1e-4)


def test_what_is_held_out_judges_and_teaches_nothing(ended: Ended, misled: Ended):
    first, second = ended.arrays(WANTED[0]), misled.arrays(WANTED[0])
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert len(np.unique(first[1])) > 1, "a prediction that is the same everywhere would prove nothing"
    assert ended.result.dice != misled.result.dice


def test_a_stop_file_ends_a_round_after_the_image_that_it_is_at(misled: Ended):
    assert [score.image_id for score in misled.result.predicted] == [WANTED[0]]
    assert misled.result.remaining == len(WANTED) - 1


def test_a_round_that_is_stopped_before_it_learned_anything_says_so(
    learner: str, small_weights: object, tmp_path: Path
):
    spec = spec_of(tmp_path / "third", learner)
    (spec.directory / STOP_FILE).touch()
    with pytest.raises(Unready, match="stopped before"):
        run_round(spec)
    assert not list(spec.directory.glob("classes-*.npy"))
