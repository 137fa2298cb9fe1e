"""A proposal that cannot make sense is no proposal: it is recorded, shown to nobody, and a sentence says what to do."""

# ruff: noqa: F811  (a fixture is imported, then named as an argument)

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.filling.fill_request import priors_of
from annotator.filling.fill_worker import FillWorker
from annotator.filling.proposals import VolumeProposals
from annotator.labels.label_cache import LabelCache
from learners import LEARNERS
from learners.prediction.predict import Tile
from learners.rounds.own_round import OwnRound
from learners.spec import RoundResult, RoundSpec
from learners.training.data import ImageReader
from storage.arrays import SliceRef
from storage.predictions import NewPrediction, Withheld
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.annotator.learning.test_scheduler import scheduler_of
from tests.conftest import drawn
from tests.learners.prediction.test_sensible import Image, cells, organ, stained

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(store: Store) -> tuple[list[int], int, int]:
    """Four labelled pictures, another of their kind, and one of another kind."""
    store.add_class("cell")
    ids = []
    for seed in range(6):
        pixels, truth = stained(seed) if seed == 5 else cells(seed)
        ids.append(store.add_image(Scan(f"picture {seed}", pixels, None, None)))
        if seed < 4:
            store.add_label(drawn(SliceRef(ids[-1], 0, 0), truth[0]))
            store.add_label(NewLabel(SliceRef(ids[-1], 0, 0), None, f"complete {seed}", "ann"))
    return ids[:4], ids[4], ids[5]


def test_nothing_is_proposed_for_a_picture_of_another_kind_until_one_is_labelled(store: Store):
    _, alike, other = pictures(store)
    told: list = []
    scheduler = scheduler_of(store, told=told)
    scheduler.run_until_idle(60)
    assert store.predictions.newest(alike) is not None
    assert store.predictions.newest(other) is None and priors_of(store, other) == []
    assert store.rounds.unpredicted("supervised", store.newest_label()) == [], (
        "it would be predicted for ever"
    )
    assert not scheduler.reconcile()
    said = {m["image"]: m["withheld"] for m in told if m["t"] == "proposal"}
    assert said[alike] is False and said[other] is True
    state = store.image_states.counts()
    assert state["todo"] == 1 and state["proposed"] == 1, "withheld is not proposed"
    proposals = VolumeProposals(store, FillWorker(store, LabelCache(store)))
    facts = proposals.describe(other)
    assert facts["predictions"] == [] and "unlike every labelled one. Label it" in facts["withheld"]
    assert not proposals.available(other)
    assert proposals.describe(alike)["withheld"] is None

    store.add_label(drawn(SliceRef(other, 0, 0), stained(5)[1][0]))
    scheduler.run_until_idle(60)
    assert store.predictions.newest(other) is not None, "somebody labelled it: it is unlike no more"


@dataclass(frozen=True)
class Painter:
    """A model that proposes what a test says."""

    paint: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    truths: dict[int, NDArray[np.uint8]]

    def tiles(self, case: ImageReader) -> Iterator[Tile]:
        mask = self.paint(self.truths[case.example.image_id]).astype(np.float32)
        z, y, x = mask.shape
        whole = (slice(0, z), slice(0, y), slice(0, x))
        yield Tile(whole, np.stack([1 - mask, mask]), np.zeros(4, np.float32))

    def run(self, spec: RoundSpec) -> RoundResult:
        round_ = OwnRound(spec)
        round_.write_card("painter.json", {})
        return round_.finish(self, "painted")


def everywhere(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ones_like(truth)


def elsewhere(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.roll(truth, (11, 18), (1, 2))


@pytest.mark.parametrize(
    ("make", "labelled", "paint", "to_do"),
    [
        (cells, 1, everywhere, "Label one slice here and press K."),
        (cells, 4, everywhere, "Label one slice here and press K."),
        (organ, 4, elsewhere, "Label an object here."),
    ],
)
def test_a_model_that_makes_no_sense_shows_nothing_and_a_sentence_says_what_to_do(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[int], Image],
    labelled: int,
    paint,
    to_do: str,
):
    """From the round of a learner through the store to what the page is told."""
    store.add_class("thing")
    truths: dict[int, NDArray[np.uint8]] = {}
    for seed in range(labelled + 1):
        pixels, truth = make(seed)
        truths[image := store.add_image(Scan(f"image {seed}", pixels, None, None))] = truth
        for index in range(len(truth) if seed < labelled else 0):
            if truth[index].any():
                store.add_label(drawn(SliceRef(image, 0, index), truth[index]))
            store.add_label(NewLabel(SliceRef(image, 0, index), None, f"{seed}-{index}", "ann"))

    def proposed_by(model: Painter) -> FillWorker:
        entry = replace(LEARNERS["supervised"], make=None, run_round=model.run, network=False)
        monkeypatch.setitem(LEARNERS, "supervised", entry)
        scheduler_of(store).run_until_idle(60)
        return FillWorker(store, LabelCache(store))

    facts = VolumeProposals(store, proposed_by(Painter(paint, truths))).describe(image)
    assert store.predictions.newest(image) is None and facts["predictions"] == []
    assert facts["withheld"].startswith("Nothing is proposed: ") and facts["withheld"].endswith(to_do)

    store.add_label(NewLabel(SliceRef(next(iter(truths)), 0, 0), None, "once more", "ann"))
    facts = VolumeProposals(store, proposed_by(Painter(lambda truth: truth, truths))).describe(image)
    assert len(facts["predictions"]) == 1 and facts["withheld"] is None, "what makes sense is shown"


def test_what_is_withheld_takes_the_place_of_an_older_proposal_and_a_newer_one_takes_its(store: Store):
    image = store.add_image(Scan("a", np.zeros((1, 5, 6), np.uint8), None, None))
    array = np.ones((1, 5, 6), np.uint8)
    first = store.predictions.add(NewPrediction(image, "weak", "predicted", 1, array, array))
    store.predictions.withhold(Withheld(image, "weak", 2, "everywhere", 7))
    assert store.predictions.of(image) == [] and store.predictions.newest_of([image]) == {}
    assert not first.classes_path.exists()
    assert store.predictions.withheld(image) == Withheld(image, "weak", 2, "everywhere", 7)
    store.predictions.sweep()
    assert store.rounds.unpredicted("weak", 2) == [] and store.rounds.unpredicted("weak", 3) == [image]
    store.predictions.add(NewPrediction(image, "atlas", "predicted", 2, array, array))
    assert store.predictions.withheld(image) is None, "another one makes sense"
    store.predictions.add(NewPrediction(image, "weak", "predicted", 3, array, array))
    assert [row.producer for row in store.predictions.of(image)] == ["atlas", "weak"]
