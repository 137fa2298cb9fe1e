"""The final model in a project: asked for, trained beside rounds that go first, and then a model like the others."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import app
from annotator.backups.backup import back_up
from annotator.backups.restore import restore
from annotator.jobs import Job
from annotator.learning.final.model import FINAL, FinalModel, FinalOptions
from annotator.learning.quality.model_quality import model_quality
from annotator.learning.round_spec import parent_of
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings
from learners.engines import SerialExecutor
from learners.final.folds import train_fold
from learners.progress import STOP_FILE
from learners.rounds import train as torch_loaded_once  # noqa: F401  so that no test's clock pays for it
from storage.store import Store
from tests.annotator.learning.test_scheduler import QUICK, add_images, label, scheduler_of

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = FinalOptions(seconds=60, steps=2, network="unet-s")


@pytest.fixture
def project(store: Store) -> Store:
    """Four labelled volumes, of which one is held out, and one that nobody labelled."""
    store.add_class("one")
    ids = add_images(store, 5)
    for image_id in ids[:4]:
        label(store, image_id)
    return store


def test_it_becomes_a_model_like_the_others(project: Store):
    told: list = []
    scheduler = scheduler_of(project, settings=LearnSettings(learners=(FINAL,), device="cpu"), told=told)
    scheduler.run_until_idle(30)
    assert scheduler.rounds.newest(FINAL) is None, "nobody asked for it"
    assert "start its training" in scheduler.status()[0]["message"]
    scheduler.train_final(SHORT)
    scheduler.run_until_idle(60)
    (row,) = scheduler.rounds.of(FINAL)
    assert row.status == "done" and not scheduler.final.going and not scheduler.final.begun
    quality = model_quality(project, FINAL)
    assert quality is not None and quality.images == 1 and set(quality.per_class) == {1}
    proposed = {m["image"] for m in told if m["t"] == "proposal" and m["producer"] == FINAL}
    assert len(proposed) == 5
    label(project, 5)
    scheduler.run_until_idle(30)
    assert [r.kind for r in scheduler.rounds.of(FINAL)] == ["train"], "a label starts no training of days"
    assert parent_of(scheduler.rounds, "supervised") is None, "others do not start from it"
    assert parent_of(scheduler.rounds, FINAL) == scheduler.rounds.folder(row.id)


class Waiting(SerialExecutor):
    """What is asked of it lies there."""

    def __init__(self) -> None:
        self.specs: list = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.specs.append(args[0])
        return Future()


def test_rounds_that_people_wait_for_go_first_and_it_waits_while_they_run(project: Store, monkeypatch):
    lasting = Waiting()
    monkeypatch.setattr("annotator.learning.scheduler.beside", lambda engine: lasting)
    gate = threading.Event()

    class Gated(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            return super().submit(lambda: gate.wait(60) and fn(*args))

    scheduler = Scheduler(project, Gated(1), settings=QUICK)
    scheduler.train_final(SHORT)
    scheduler.reconcile()
    (spec,) = lasting.specs
    assert scheduler.busy and spec.lasting.give_way.exists() and scheduler.final.gives_way
    assert spec.predict_seconds == 86_400 and not any(e.fresh for e in spec.examples)
    gate.set()
    while scheduler.busy:
        scheduler._wake.wait(1)
        scheduler.reconcile()
    assert not spec.lasting.give_way.exists() and FINAL in scheduler._running
    with pytest.raises(ValueError, match="trains already"):
        scheduler.train_final(SHORT)
    scheduler.stop(FINAL)
    assert (spec.directory / STOP_FILE).exists()


class Leaving(SerialExecutor):
    """The app ends in the middle of the training."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        train_fold(args[0], 0)
        return Future()


def test_a_backup_holds_how_far_it_is_and_what_is_restored_goes_on_from_there(project: Store, tmp_path: Path):
    settings = LearnSettings(learners=(FINAL,), device="cpu")
    first = Scheduler(project, Leaving(), settings=settings)
    first.train_final(SHORT)
    first.reconcile()
    (first.final.work / "fold-0" / "made-again.npy").touch()
    back_up(project.root, tmp_path / "b.zip", Job("backup"))
    restore(tmp_path / "b.zip", tmp_path / "back", Job("restore"))
    back = Store(tmp_path / "back")
    second = scheduler_of(back, settings=settings)
    assert second.final.going and second.final.begun
    kept = {path.name for path in (second.final.work / "fold-0").iterdir()}
    assert {"model.json", "model.safetensors"} <= kept and "made-again.npy" not in kept
    trained = (first.final.work / "fold-0" / "model.safetensors").read_bytes()
    second.run_until_idle(60)
    row = second.rounds.newest(FINAL, "done")
    assert row is not None, "it is a model now, of the network that was trained before the backup"
    assert trained in [path.read_bytes() for path in second.rounds.folder(row.id).glob("*.safetensors")]
    back.close()


def test_a_closed_app_goes_on_where_it_was_and_a_stopped_one_when_asked(project: Store):
    settings = LearnSettings(learners=(FINAL,), device="cpu")
    first = Scheduler(project, Leaving(), settings=settings)
    first.train_final(SHORT)
    first.reconcile()
    second = scheduler_of(project, settings=settings)
    assert second.final.going and second.final.begun and second.rounds.newest(FINAL).status == "lost"
    second.run_until_idle(60)
    assert [row.status for row in second.rounds.of(FINAL)] == ["lost", "done"]
    assert second.rounds.newest(FINAL).metrics["steps"] == 2

    class Stopping(SerialExecutor):
        def submit(self, fn, /, *args, **kwargs) -> Future:
            (args[0].directory / STOP_FILE).touch()
            return super().submit(fn, *args)

    third = Scheduler(project, Stopping(), settings=settings)
    third.train_final(FinalOptions(seconds=90, steps=2, network="unet-s"))
    third.run_until_idle(60)
    assert not third.final.going and third.status()[0]["state"] == "failed"


def test_other_options_start_anew(project: Store):
    final = FinalModel(project)
    final.ask(SHORT)
    (final.work / "fold-0").mkdir(parents=True)
    final.ask(SHORT)
    assert final.begun
    final.ask(FinalOptions(seconds=60, folds=2))
    assert not final.begun and FinalModel(project).options.folds == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0.1}, "between a second and 14 days"),
        ({"folds": 11}, "1 to 10 folds"),
        ({"recipe": "atlas"}, "cannot train a final model"),
    ],
)
def test_what_cannot_be_trained_is_refused(options: dict, words: str):
    with pytest.raises((ValueError, LookupError), match=words):
        FinalOptions(**options)


def test_the_command_line_trains_one(project: Store, capsys: pytest.CaptureFixture[str], monkeypatch):
    root = project.root
    project.close()
    monkeypatch.setattr("learners.engines.make_engine", lambda *asked: SerialExecutor())
    asked = [
        "train",
        "--project",
        str(root),
        "--final",
        "--folds",
        "2",
        "--seconds",
        "2",
        "--network",
        "unet-s",
    ]
    assert app.main(asked) == 0
    assert "final: idle, held-out Dice" in capsys.readouterr().out
    assert app.main(["train", "--project", str(root), "--folds", "2"]) != 0
    assert "belongs to a final model" in capsys.readouterr().err
