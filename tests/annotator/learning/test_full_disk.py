"""A round that ends on a full disk: one line in the log, one sentence for people, and learning goes on."""

import logging
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from annotator.learning.prediction_publisher import RunningRound
from annotator.learning.round_recorder import RoundRecorder
from storage.store import Store

SENTENCE = "The disk is full; free some space and try again, nothing that was saved is lost"


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("1000000 requested and 368512 written"),  # as NumPy says it
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as safetensors says it
    ],
    ids=lambda error: str(error)[:9],
)
def test_a_full_disk_ends_a_round_with_one_line(error: Exception, tmp_path: Path, caplog):
    store = Store(tmp_path)
    row = store.rounds.start("supervised", 0)
    future: Future[Any] = Future()
    future.set_exception(error)
    unused = cast(Any, None)
    recorder = RoundRecorder(store.rounds, unused, unused, lambda message: None)
    with caplog.at_level(logging.WARNING):
        recorder.record(cast(RunningRound, SimpleNamespace(row=row)), future)
    (record,) = caplog.records
    assert record.exc_info is None and SENTENCE in record.getMessage()
    assert store.rounds.get(row.id).error == SENTENCE
    store.close()
