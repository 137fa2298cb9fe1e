"""People come first: a learner pauses between two steps while somebody waits for a mask, and not for ever."""

import os
import threading
import time

import pytest

from learners import give_way
from learners.training.budget import Budget


def test_a_learner_pauses_between_steps_until_nobody_waits_for_a_mask(tmp_path, monkeypatch):
    monkeypatch.setattr(give_way, "PAUSE_SECONDS", 60.0)
    waiting, looked = give_way.PeopleWait(tmp_path / give_way.MARK), threading.Event()
    monkeypatch.setattr(give_way.time, "sleep", lambda seconds: looked.set())
    budget = Budget(100, people_wait=tmp_path / give_way.MARK)
    step = threading.Thread(target=budget.left)
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
    assert Budget(100, people_wait=mark).left()
