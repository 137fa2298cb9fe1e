"""Predicting without training: from the command line, for what the newest model has not seen."""

from dataclasses import replace

import numpy as np
import pytest

import app
from annotator.learning.commands import predict
from annotator.learning.model_export import export_model
from annotator.learning.model_import import import_model
from learners.progress import classes_file
from learners.rounds.train import run
from storage.store import Store
from tests.annotator.learning.test_scheduler import label, scheduler_of
from tests.conftest import ball
from tests.learners.test_learning import discs, spec_of


@pytest.fixture
def trained(tmp_path):
    """A project with a model of two volumes, and a third that came later."""
    store = Store(tmp_path / "p")
    store.add_class("one")
    ids = [store.add_image(ball((9, 33, 39), seed=seed)[0]) for seed in range(2)]
    label(store, ids[0])
    scheduler_of(store).run_until_idle(60)
    late = store.add_image(ball((9, 33, 39), seed=7)[0])
    label(store, ids[1])  # news that a round would train on
    store.close()
    return tmp_path / "p", late


def test_predict_proposes_for_new_images_and_trains_nothing(trained, capsys):
    project, late = trained
    assert app.main(["predict", "--project", str(project)]) == 0
    assert "1 images predicted" in capsys.readouterr().out
    store = Store(project)
    rows = store.rounds.of("supervised")
    assert [row.kind for row in rows] == ["train", "predict"]
    assert store.predictions.newest(late).round_id == rows[1].id
    store.close()
    assert predict(project, "supervised", lambda message: None) == []


def test_an_imported_model_predicts_in_a_project_where_nothing_is_labelled(trained, tmp_path):
    project, _ = trained
    store = Store(project)
    export_model(store, store.rounds, "supervised", tmp_path / "model")
    store.close()
    other = Store(tmp_path / "other")
    image = other.add_image(ball((9, 33, 39), seed=3)[0])
    import_model(other, other.rounds, "supervised", tmp_path / "model")
    other.close()
    (proposal,) = predict(tmp_path / "other", None, lambda message: None)
    assert proposal["image"] == image and proposal["name"].startswith("ball")


def test_a_model_taken_in_while_the_app_runs_proposes_at_once_whoever_learns_here(trained, tmp_path):
    project, _ = trained
    store = Store(project)
    export_model(store, store.rounds, "supervised", tmp_path / "model")
    store.close()
    other = Store(tmp_path / "other")
    images = [other.add_image(ball((9, 33, 39), seed=seed)[0]) for seed in (3, 4)]
    import_model(other, other.rounds, "unimatch", tmp_path / "model")
    scheduler = scheduler_of(other)
    scheduler.propose("unimatch")
    scheduler.run_until_idle(60)
    assert all(other.predictions.newest(image, "unimatch") for image in images)
    assert [row.kind for row in other.rounds.of("unimatch")] == ["train", "predict"]
    with pytest.raises(LookupError, match="no model yet"):
        scheduler.propose("bcp")
    scheduler.close()
    other.close()


def test_what_cannot_be_predicted_is_said_in_a_sentence(tmp_path, capsys):
    Store(tmp_path / "empty").close()
    assert app.main(["predict", "--project", str(tmp_path / "empty")]) == 1
    assert "there is no model yet; train one: python app.py train" in capsys.readouterr().err
    assert app.main(["predict", "--project", str(tmp_path / "empty"), "--learner", "best"]) == 1
    assert "there is no learner 'best'" in capsys.readouterr().err
    assert app.main(["predict", "--project", str(tmp_path / "empty"), "--ray-address", "x:1"]) == 1
    assert "takes no address" in capsys.readouterr().err


def test_a_model_predicts_as_it_was_planned_when_the_images_of_today_would_be_planned_otherwise(tmp_path):
    examples = discs(tmp_path, 4, labelled=3, held=1)
    first = run(spec_of(tmp_path, examples, steps=4))
    wider = (
        discs(tmp_path / "wider", 2, labelled=2, held=0, side=200)
        if (tmp_path / "wider").mkdir() is None
        else []
    )
    spec = replace(spec_of(tmp_path, wider, parent=first.model, network="unet-m"), seconds=0)
    result = run(spec)
    assert result.model == first.model and result.remaining == 0
    assert np.load(classes_file(spec.directory, 1)).shape == (1, 200, 200)
