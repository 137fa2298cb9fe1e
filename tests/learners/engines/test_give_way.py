"""People come first: a learner pauses between two steps while somebody waits for a mask, and not for ever."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learners import give_way
from learners.progress import read_progress
from learners.rounds import run_round, run_tuning
from learners.spec import RoundSpec
from learners.training.budget import Budget
from models import PromptChoice
from storage.store import Store
from tests.annotator.prompting.test_tuner import project, spec_of  # noqa: F401  # a fixture
from tests.learners.test_tag_learner import blobs, examples_of


def test_a_learner_pauses_between_steps_until_nobody_waits_for_a_mask(tmp_path, monkeypatch):
    monkeypatch.setattr(give_way, "PAUSE_SECONDS", 60.0)
    waiting, looked = give_way.PeopleWait(tmp_path / give_way.MARK), threading.Event()
    monkeypatch.setattr(give_way.time, "sleep", lambda seconds: looked.set())
    budget = Budget(100)

    def left() -> None:
        with give_way.giving_way(tmp_path / give_way.MARK):
            budget.left()

    step = threading.Thread(target=left)
    with waiting:
        with waiting:
            step.start()
        assert looked.wait(10) and step.is_alive(), "one of two still waits"
    step.join(10)
    assert not step.is_alive() and budget.left() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("age", [0, 10])
def test_a_learner_is_not_held_up_for_ever(tmp_path, monkeypatch, age: float):
    """People click all day, and a server that was killed leaves its mark."""
    monkeypatch.setattr(give_way, "PAUSE_SECONDS", 0.05 if age == 0 else 600)
    mark = tmp_path / give_way.MARK
    mark.touch()
    os.utime(mark, (time.time() - age, time.time() - age))
    with give_way.giving_way(mark):
        assert Budget(100).left()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Path, str]]]:
    """Each look whether people wait: at which mark, and in which phase of the job beside it."""
    seen: list[tuple[Path, str]] = []

    def look(mark: Path) -> bool:
        progress = read_progress(mark.parent / "job")
        seen.append((mark, progress.phase if progress else ""))
        return False

    monkeypatch.setattr(give_way, "_fresh", look)
    yield seen


def test_a_round_of_tags_looks_for_people_in_all_that_it_does(tmp_path: Path, looked: list[tuple[Path, str]]):
    job = tmp_path / "job"
    job.mkdir()
    examples = examples_of(tmp_path, *blobs(8))
    wanted = tuple(one.image_id for one in examples[:2])
    run_round(
        RoundSpec("tags", (1,), examples, job, seconds=4, steps=2, predict=wanted,
                  prompts=PromptChoice("graphcut"), device="cpu")
    )  # fmt: skip
    phases = {phase for _, phase in looked}
    assert phases >= {"looking at slices", "reading tags", "guessing masks", "training", "predicting"}, phases
    assert {mark for mark, _ in looked} == {tmp_path / give_way.MARK}
    before = len(looked)
    assert Budget(1).left() and len(looked) == before, "nobody is looked for outside of a job"


def test_tuning_looks_for_people_while_it_learns_and_while_it_compares(
    project: Store,  # noqa: F811
    tmp_path: Path,
    looked: list[tuple[Path, str]],
):
    mark = tmp_path / "tuning" / give_way.MARK
    mark.parent.mkdir()
    run_tuning(spec_of(project, mark.parent / "job", steps=2, people_wait=mark))
    assert {phase for _, phase in looked} >= {"training", "comparing"}
