"""Learning without a browser: train, rank, and models in and out, as the command line calls them."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from annotator.learning.final.model import FINAL, LONGEST, FinalOptions
from annotator.learning.label_queue import LabelQueue
from annotator.learning.model_export import ExportedModel, export_bundle, export_model
from annotator.learning.model_import import import_model
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import RANKER, LearnSettings
from annotator.protocol.outgoing import Message
from learners import LEARNERS
from learners.engines import SerialExecutor
from storage.database import ProjectUnwritable, StorageFull
from storage.lock import ProjectBusy
from storage.store import Store

Tell = Callable[[Message], None]
STOPS = 120.0  # seconds that a training may take to write down where it is


@dataclass(frozen=True)
class TrainOptions:
    """How to train; what is left out the app chooses."""

    learner: str | None = None
    seconds: float = 120.0
    network: str = "auto"
    adapt: str = ""
    references: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """The `queue` message, and what it came from."""

    queue: Message
    asked: str | None  # the ranker that somebody asked for or chose for the project
    learner: str | None  # whose predictions were ranked; None: no model has predicted anything yet

    @property
    def ranker(self) -> str:
        """The one that answered; another than `asked` where that needs predictions and there are none."""
        return str(self.queue["ranker"])


def train(project: Path, options: TrainOptions, tell: Tell, engine: Executor | None = None) -> list[Message]:
    """Train on all labels for about so long, predict every image; the learners' states. Raises LookupError."""
    settings = LearnSettings(
        learners=(options.learner,) if options.learner else (),
        seconds=options.seconds,
        settle_seconds=0,
        predict_seconds=86_400,
        network=options.network,
        adapt=options.adapt,
        references=options.references,
    )
    with _scheduler(project, settings, tell, engine) as scheduler:
        for name in scheduler.active:
            scheduler.update_now(name)
        scheduler.run_until_idle(seconds=7 * 86_400)
        return scheduler.status()


def train_final(project: Path, options: FinalOptions, tell: Tell, engine: Executor) -> Message:
    """Until it is done, or somebody presses Ctrl+C: then it ends where it is, and the next call goes on. The learner's
    state. Raises LookupError."""
    with _scheduler(
        project, LearnSettings(learners=(FINAL,), predict_seconds=86_400), tell, engine
    ) as scheduler:
        scheduler.train_final(options)
        try:
            scheduler.run_until_idle(seconds=2 * LONGEST)
        except KeyboardInterrupt:
            scheduler.stop(FINAL)
            scheduler.run_until_idle(seconds=STOPS)
        (status,) = scheduler.status()
        return status


def predict(project: Path, learner: str | None, tell: Tell, engine: Executor | None = None) -> list[Message]:
    """Every image that the learner's model (without a name, the newest) has not predicted; the `proposal` messages
    with the images' names. Raises LookupError where there is no model, RuntimeError with the round's reason."""
    proposals: list[Message] = []

    def listen(message: Message) -> None:
        if message["t"] == "proposal":
            proposals.append(message)
        tell(message)

    settings = LearnSettings(predict_seconds=86_400)
    with _scheduler(project, settings, listen, engine) as scheduler:
        name = learner or _newest_model(scheduler)
        scheduler.predict_only(name)
        scheduler.run_until_idle(seconds=7 * 86_400)
        (status,) = scheduler.status()
        if status["state"] in ("failed", "waiting"):
            raise RuntimeError(status["message"])
        return [{**each, "name": scheduler.store.image(each["image"]).name} for each in proposals]


def _newest_model(scheduler: Scheduler) -> str:
    done = [row for name in LEARNERS if (row := scheduler.rounds.newest(name, "done")) is not None]
    if not done:
        raise LookupError("there is no model yet; train one: python app.py train --project DIR")
    return max(done, key=lambda row: row.id).learner


def rank(project: Path, ranker: str | None, count: int) -> Ranking:
    """What to label next and why, best first. Raises LookupError for an unknown ranker."""
    with _open_or_look(project) as store:
        scheduler = Scheduler(store, SerialExecutor(), settings=LearnSettings())
        asked = ranker or scheduler.store.setting(RANKER) or None
        return Ranking(LabelQueue(scheduler).next(count, ranker), asked, scheduler.ranked_learner())


def take_model_out(project: Path, learner: str, folder: Path, *, bundle: bool = False) -> ExportedModel:
    """Weights, ONNX, card and a script that predicts with them; `bundle`: as a bundle of MONAI. Raises LookupError
    where there is no model."""
    with _open_or_look(project) as store:
        if bundle:
            return export_bundle(store, learner, folder)
        return export_model(store, store.rounds, learner, folder)


def take_model_in(project: Path, learner: str, folder: Path) -> int:
    """An exported model as a learner's start and predictor; the number of its round. Raises ValueError."""
    with _open(project) as store:
        return import_model(store, store.rounds, learner, folder).id


@contextlib.contextmanager
def _scheduler(
    project: Path, settings: LearnSettings, tell: Tell, engine: Executor | None = None
) -> Iterator[Scheduler]:
    with _open(project) as store:
        scheduler = Scheduler(store, engine or SerialExecutor(), settings=settings, publish=tell)
        try:
            yield scheduler
        finally:
            scheduler.close()


@contextlib.contextmanager
def _open_or_look(project: Path) -> Iterator[Store]:
    """For what only reads: the project may be open elsewhere, or not be writable."""
    try:
        store = Store.existing(project)
    except (ProjectBusy, ProjectUnwritable, StorageFull):
        store = Store.read_only(project)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def _open(project: Path) -> Iterator[Store]:
    store = Store.existing(project)
    try:
        yield store
    finally:
        store.close()
