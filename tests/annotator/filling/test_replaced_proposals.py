"""A proposal that a newer one replaces while it is read: the newer one is read, nobody hears of damage; real damage is
told."""

import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from annotator.filling.likely_places import LikelyPlaces
from annotator.filling.trust_layer import TrustView
from annotator.labels.commit import Refused
from annotator.prompting.service import PromptService
from annotator.protocol.incoming import AcceptMessage
from annotator.workflow import Workflow
from storage.arrays import TornFile
from storage.predictions import NewPrediction, PredictionRow
from storage.store import Store
from tests.support.rare_prediction import rare_picture


@pytest.fixture
def workflow(store: Store) -> Iterator[Workflow]:
    store.add_class("pit")
    rare_picture(store)
    prompting = PromptService(store)
    yield Workflow(store, prompting)
    prompting.close()


@pytest.fixture
def racing(store: Store, workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> PredictionRow:
    """A newer proposal takes the place of the first while its second file is about to be read."""
    (old,) = store.predictions.of(1)
    confidence = PredictionRow.confidence

    def replaced(row: PredictionRow) -> np.ndarray:
        if row.id == old.id and row.classes_path.exists():
            arrays = np.array(row.classes()), np.array(confidence(row))
            store.predictions.add(
                NewPrediction(1, row.producer, "predicted", 0, *arrays, round_id=row.round_id)
            )
        return confidence(row)

    monkeypatch.setattr(PredictionRow, "confidence", replaced)
    return old


def accepting(prediction: int | None = None) -> AcceptMessage:
    return AcceptMessage(
        t="accept", id=uuid.uuid4().hex, image=1, axis=0, lo=0, hi=1, min_confidence=0.5,
        producer="supervised", prediction=prediction,
    )  # fmt: skip


READS: list[Callable[[Workflow], object]] = [
    lambda w: len(LikelyPlaces(w.store, w.folds).of(1)["places"]) == 3,
    lambda w: TrustView(w.store, w.folds).slice(1, 0, 0)[1].any(),
    lambda w: w.commit("ann", accepting(), b"").ack["voxels"] > 100,
]


@pytest.mark.parametrize("read", READS, ids=["places", "trust", "accept"])
def test_the_newer_proposal_is_read(workflow: Workflow, racing: PredictionRow, read):
    assert read(workflow)
    assert workflow.store.predictions.of(1)[-1].id != racing.id


def test_what_a_person_did_not_see_is_not_accepted(workflow: Workflow, racing: PredictionRow):
    with pytest.raises(Refused, match="renewed since you saw it"):
        workflow.commit("ann", accepting(racing.id), b"")
    assert workflow.store.newest_label() == 0


@pytest.mark.parametrize("read", READS[:2], ids=["places", "trust"])
def test_a_damaged_proposal_is_told_as_one(workflow: Workflow, read):
    (row,) = workflow.store.predictions.of(1)
    row.confidence_path.write_bytes(row.confidence_path.read_bytes()[:200])
    with pytest.raises(TornFile):
        read(workflow)
