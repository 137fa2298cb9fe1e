"""Ranking without a browser: by the newest predictions there are, and it says who answered."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import app
from annotator.learning.label_queue import LabelQueue
from annotator.learning.settings import LearnSettings
from learners.rankers import COLD
from storage.store import Store
from tests.annotator.learning.test_scheduler import QUICK, label, scheduler_of
from tests.conftest import ball


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two volumes, one with a label, and no model."""
    store = Store(tmp_path / "p")
    store.add_class("one")
    ids = [store.add_image(ball((9, 33, 39), seed=seed)[0]) for seed in range(2)]
    label(store, ids[0])
    store.close()
    return tmp_path / "p"


def train(project: Path, learner: str) -> None:
    """A round of a learner that the app would not choose by itself, unless it is that one."""
    store = Store(project)
    scheduler = scheduler_of(store, settings=replace(QUICK, learners=(learner,)))
    scheduler.update_now(learner)
    scheduler.run_until_idle(60)
    assert scheduler.pool(learner).from_model
    store.close()


def app_chooses(project: Path) -> str:
    store = Store(project)
    try:
        return scheduler_of(store, settings=LearnSettings()).choice().learner
    finally:
        store.close()


def rank(project: Path, *more: str) -> None:
    assert app.main(["rank", "--project", str(project), *more]) == 0


def test_the_ranker_that_was_asked_for_answers_from_whatever_learner_has_predicted(project, capsys):
    train(project, "mean_teacher")
    assert app_chooses(project) != "mean_teacher"
    rank(project, "--ranker", "entropy")
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "ranked by entropy, from the predictions of mean_teacher"
    assert len(out.splitlines()) > 2 and "instead" not in err
    rank(project, "--ranker", "entropy", "--json")
    assert json.loads(capsys.readouterr().out)["ranker"] == "entropy"


def test_the_newest_predictions_are_ranked_also_in_a_copy_with_other_file_times(project, capsys):
    train(project, "mean_teacher")
    train(project, "supervised")
    pools = {name: project / "rounds" / f"pool-{name}.npz" for name in ("mean_teacher", "supervised")}
    os.utime(pools["supervised"], (1, 1))
    rank(project)
    assert "predictions of supervised" in capsys.readouterr().out
    train(project, "mean_teacher")
    os.utime(pools["mean_teacher"], (0, 0))
    rank(project)
    assert "predictions of mean_teacher" in capsys.readouterr().out


def test_a_ranker_that_needs_a_model_says_who_answers_where_nothing_was_predicted(project, capsys):
    said = f"entropy needs the predictions of a model, and there are none yet, so {COLD} answers instead."
    rank(project, "--ranker", "entropy")
    out, err = capsys.readouterr()
    assert said in err.splitlines() and out.splitlines()[0].startswith(f"ranked by {COLD}, from what")
    rank(project, "--ranker", "entropy", "--json")
    out, err = capsys.readouterr()
    assert said in err.splitlines() and json.loads(out)["ranker"] == COLD
    rank(project, "--ranker", "random")
    out, err = capsys.readouterr()
    assert out.startswith("ranked by random,") and "instead" not in err
    store = Store(project)
    LabelQueue(scheduler_of(store)).choose("entropy")
    store.close()
    rank(project)
    assert said in capsys.readouterr().err.splitlines()


def test_the_page_asks_by_the_learner_that_people_chose_and_by_the_newest_where_it_has_not_predicted(project):
    train(project, "mean_teacher")
    train(project, "supervised")
    store = Store(project)

    def ranked(*learners: str) -> str | None:
        return scheduler_of(store, settings=replace(QUICK, learners=learners)).ranked_learner()

    assert ranked("mean_teacher") == "mean_teacher" and ranked("bcp") == "supervised" == ranked()
    scheduler = scheduler_of(store, settings=replace(QUICK, learners=("bcp",)))
    assert LabelQueue(scheduler).next(5, "entropy")["ranker"] == "entropy"
    store.close()
