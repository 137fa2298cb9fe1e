"""From a slice and prompts to a mask: windowing, the chosen model, and who answers while it is not ready."""

import importlib.util
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from annotator.jobs import Job
from annotator.prompting.answering import Answerer, PackedAnswer, Question, StoredSlice
from annotator.prompting.channel_looks import kept_looks
from annotator.prompting.embedded_answers import STAND_IN, EmbeddedAnswers
from annotator.prompting.embedding_cache import EmbeddingCache
from annotator.prompting.embedding_queue import SliceView, beside, neighbours
from annotator.prompting.embedding_state import EmbeddingProgress
from annotator.prompting.embedding_worker import EmbeddingWorker
from annotator.prompting.remote_encoders import EncoderPool, RemoteEncoding
from annotator.prompting.selection import chosen_name, keep_choice
from annotator.prompting.shown_pictures import ShownPictures
from annotator.prompting.speeds import Speeds, measuring
from annotator.prompting.tuned_model import adapter_of, read_tuned
from annotator.prompting.volumes.answers import AS_BUILT_IN, VolumeAnswers
from annotator.prompting.volumes.server import VolumeServer
from annotator.prompting.workers.in_worker import ModelFile
from annotator.prompting.workers.prompt_workers import PromptWorkers
from annotator.prompting.workers.worker_model import WorkerModel, in_workers
from annotator.windowing import views_of
from models import (
    BUILT_IN,
    GIVEN,
    PROMPT_MODELS,
    REMOTE,
    TUNED,
    PromptChoice,
    PromptModelEntry,
    load_builtin,
    load_tuned,
)
from models.clicknet.adapter import belongs
from models.prompt import MaskPrediction, Prompts
from models.weights import CATALOGUE, arrived, fetch, find, megabytes
from storage.arrays import SliceRef
from storage.store import Store

QUOTA_BYTES = 4_000_000_000  # 2,000 slices of the SAM family
HEAD = 12  # slices of the queue that are made ahead
AHEAD = 64  # slices made ahead in all, after those around the open one: far from the quota
TUNED_SETTING = "prompt_tuned"  # "off" where somebody went back

OnProgress = Callable[[EmbeddingProgress], None]  # called from the workers' threads, in order
OnSpeed = Callable[[], None]  # the speed of a model is known: read `models` again
QueueHead = Callable[[int], Sequence[SliceRef]]  # so many slices of the labelling queue; may take a second


@dataclass(frozen=True)
class PromptAnswer:
    prediction: MaskPrediction
    model: str  # the name of the one that answered
    why: str = ""  # why it was not the chosen one


class PromptService:
    """Thread-safe. `subscribe` before the first `look`."""

    def __init__(
        self,
        store: Store,
        model: str | None = None,
        checkpoint: Path | None = None,
        encoders: EncoderPool | None = None,
        workers: PromptWorkers | None = None,
        volumes: VolumeServer | None = None,
    ) -> None:
        """`encoders`: elsewhere, to work ahead with; `workers`: where models answer, instead of in this process;
        `volumes`: a server for whole volumes. All are closed with this."""
        self._store = store
        given = {} if checkpoint is None else {GIVEN: _given(checkpoint)}
        given |= {} if volumes is None else {REMOTE: _of_server(volumes)}
        self._server = volumes
        self._volumes = None if volumes is None else VolumeAnswers(store, volumes, self._by_stand_in)
        # Replaced as a whole, never changed: read without a lock.
        self._entries = {**PROMPT_MODELS, **given}
        self._checkpoint, self._workers = checkpoint, workers
        self._loaded: PromptChoice | None = None  # in the workers
        # Protects the one below. A leaf: no other lock is taken inside it, though an instant model loads there.
        self._lock = threading.Lock()
        self._answerers: dict[str, Answerer] = {}
        self._in_workers = (
            False  # whether the chosen model needs embeddings and is to be opened in the workers
        )
        self._opened: WorkerModel | None = None  # there; only the thread of the embeddings opens one
        self._pictures = ShownPictures(store)
        self._on_progress: OnProgress = lambda progress: None
        self._on_speed: OnSpeed = lambda: None
        self._queue_head: QueueHead = lambda count: ()
        self._speeds = Speeds(store, lambda: self._on_speed())
        cache = EmbeddingCache(store.workplace / "embeddings", QUOTA_BYTES)
        elsewhere = None if encoders is None else RemoteEncoding(encoders, self._ahead)
        self._embeddings = EmbeddingWorker(cache, self._pictures, self._worked, elsewhere)
        self._embedded = EmbeddedAnswers(
            self._pictures, self._embeddings, lambda: self._answerer(BUILT_IN).model
        )
        self._chosen = BUILT_IN
        self._offer_tuned()
        self._begin(model)

    def subscribe(
        self,
        *,
        on_progress: OnProgress | None = None,
        on_speed: OnSpeed | None = None,
        queue_head: QueueHead | None = None,
    ) -> None:
        """Who hears of progress and speeds, and who says what is labelled next. What is left out stays as it was."""
        self._on_progress = on_progress or self._on_progress
        if self._server is not None:
            self._server.changed = self._tell_server
        self._on_speed = on_speed or self._on_speed
        self._queue_head = queue_head or self._queue_head

    def close(self) -> None:
        """Waits for the slice that is being embedded, and the answer that is being measured."""
        if self._server is not None:
            self._server.close()
        self._speeds.close()
        if self._opened is not None:
            self._opened.close()
        self._embeddings.close()
        if self._workers is not None:
            self._workers.close()

    @property
    def servers(self) -> int:
        """How many calls of `answer` can be served side by side."""
        return 1 if self._workers is None else len(self._workers)

    def predict(self, ref: SliceRef, window: tuple[float, float], prompts: Prompts) -> PromptAnswer:
        """Masks for the prompts on a slice shown with this window, of channels on their picture. Raises ValueError,
        LookupError, TornFile."""
        name = self._name_here
        if self._entries[name].instant:
            here = self._answerer(name)
            embedding = here.embedding(self._stored(SliceView(ref, window)))
            return PromptAnswer(here.model.predict(embedding, prompts), name)
        picture = self._pictures(SliceView(ref, window))
        answer = self._embeddings.answer(picture, prompts, self._answerer(BUILT_IN).model)
        return PromptAnswer(answer.prediction, name if answer.by_chosen else BUILT_IN, answer.why)

    def answer(
        self, questions: Sequence[Question], *, elsewhere: bool = False
    ) -> list[PackedAnswer | Exception]:
        """To each of several people's questions its masks, or what is wrong with it, in order. `elsewhere`: on slices
        that are not of the project, which the built-in model answers where the chosen one would embed them first."""
        name = self._name_here if elsewhere else self._chosen
        if name == REMOTE and self._volumes is not None:
            return self._volumes.answer(questions)
        if elsewhere and not self._entries[name].instant:
            name = BUILT_IN
        return self._by(name, questions)

    def _by(self, name: str, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
        if not self._entries[name].instant:
            if self._workers is not None and self._in_workers:
                return self._embedded.in_workers(self._workers, questions, name)
            return [self._embedded.here(question, name) for question in questions]
        if self._workers is None:
            found = self._answerer(name).answer(questions)
        else:
            found = self._workers.answer(self._choice(name), questions)
        return [one if isinstance(one, Exception) else replace(one, model=name) for one in found]

    def _by_stand_in(self, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
        return self._by(self._default_model(), questions)

    @property
    def _name_here(self) -> str:
        """Of the model that this machine asks: the chosen one, or the stand-in of another server's."""
        return self._default_model() if self._chosen == REMOTE else self._chosen

    def look(self, shown: SliceView, direction: int) -> None:
        """This slice is open now; the next click will be here or beside it. Raises LookupError, ValueError."""
        name, ref = self._name_here, shown.ref
        if self._chosen == REMOTE and self._volumes is not None:
            self._volumes.look(ref)
        if self._entries[name].instant:
            self._get_ready(name, shown)
            return
        self._load_stand_in()
        count = self._store.image(ref.image_id).shape[ref.axis]
        self._embeddings.look(neighbours(shown, count, direction))

    def _keep(self, name: str) -> None:
        """The project opens with this model again."""
        if TUNED in self._entries and name in (BUILT_IN, TUNED):
            self._store.set_setting(TUNED_SETTING, "on" if name == TUNED else "off")
        keep_choice(self._store, name, self._checkpoint if name == GIVEN else None)

    def _get_ready(self, name: str, shown: SliceView) -> None:
        """The first click is not to wait for what could be loaded before it."""
        if self._workers is None:
            here = self._answerer(name)
            self._speeds.request(name, measuring(here.model, instant=True))
            here.embedding(self._stored(shown))
            return
        workers, choice = self._workers, self._choice(name)
        if self._loaded != choice:
            self._loaded = choice
            workers.load(choice)
        self._speeds.request(name, lambda stop: None if stop() else workers.measure(choice))

    def _load_stand_in(self) -> None:
        """Before the first click, not by it."""
        if self._workers is None or not self._in_workers:
            self._answerer(BUILT_IN)
        elif self._loaded != STAND_IN:
            self._loaded = STAND_IN
            self._workers.load(STAND_IN)

    def _choice(self, name: str) -> PromptChoice:
        """An instant model as it travels to workers."""
        return PromptChoice(name, adapter_of(self._store) if name == TUNED else None)

    def _stored(self, shown: SliceView) -> StoredSlice:
        image, ref = self._store.image(shown.ref.image_id), shown.ref
        channels = views_of(image, shown.looks)
        return StoredSlice(image.path, ref.axis, ref.index, shown.window, channels)

    def _ahead(self, shown: SliceView) -> list[SliceView]:
        """What a person will see next: the queue's head, then the open volume from its open slice outwards."""
        head = [self._as_kept(ref) for ref in self._queue_head(HEAD)]
        count = self._store.image(shown.ref.image_id).shape[shown.ref.axis]
        steps = [step for away in range(1, AHEAD) for step in (away, -away)]
        near = {*neighbours(shown, count, 1), *neighbours(shown, count, -1)}
        wanted = dict.fromkeys([*head, *beside(shown, steps, count)])
        return [one for one in wanted if one not in near][:AHEAD]

    def _as_kept(self, ref: SliceRef) -> SliceView:
        """As a page shows it that opens it."""
        image = self._store.image(ref.image_id)
        return SliceView(ref, image.window, kept_looks(self._store, image))

    def _worked(self, progress: EmbeddingProgress) -> None:
        """Pass progress on; once the worker rests, the speed of its model is measured."""
        model = self._embeddings.model
        if progress.phase == "idle" and progress.done >= progress.total and model is not None:
            self._speeds.request(self._chosen, measuring(model, instant=False))
        self._on_progress(progress)

    def choose(self, name: str) -> None:
        """Raises LookupError for an unknown model, ValueError for one that is not ready."""
        entry = self._entry(name)
        state, detail = self._state(entry)
        if state != "ready":
            raise ValueError(f"{entry.title} cannot answer yet: {detail}")
        if not self._store.looking:
            self._keep(name)
        self._chosen = name
        self._drop_opened()
        if entry.instant:
            self._in_workers = False
            self._embeddings.use("", None)
        else:
            self._use_embedding_model(name, entry)

    def _use_embedding_model(self, name: str, entry: PromptModelEntry) -> None:
        path, workers = self._path(entry), self._workers
        self._in_workers = workers is not None and workers.have_room_for(path)
        here = partial(self._open, name, ModelFile(entry.factory, path)) if self._in_workers else None
        self._embeddings.use(entry.title, partial(entry.factory, path), here)

    def _open(self, name: str, file: ModelFile) -> WorkerModel:
        """In the thread of the embeddings. Raises what opening raises."""
        assert self._workers is not None
        self._opened = opened = in_workers(self._workers, file)
        if self._chosen != name:  # who chose another one meanwhile may have found nothing to drop
            self._drop_opened()
        return opened

    def _drop_opened(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None and self._workers is not None:
            opened.close()
            self._workers.forget()

    def use_tuned_layers(self) -> None:
        """The project has other tuned layers, or its first: they answer from now on where the built-in model did,
        unless somebody switched them off. Loads them in the calling thread, so that no click waits for it."""
        path = self._offer_tuned()
        if path is None:
            return
        if self._workers is None:
            tuned = Answerer(self._entries[TUNED].factory(None))
            with self._lock:
                self._answerers[TUNED] = tuned
        else:
            self._workers.load(self._choice(TUNED))
        if self._chosen == BUILT_IN:
            self.choose(self._default_model())

    def _offer_tuned(self) -> Path | None:
        """List the tuned model where its file is here and belongs to the built-in one of today."""
        path = adapter_of(self._store)
        if path is None or not belongs(path):
            return None
        title, line = "Built-in, tuned to this project", read_tuned(self._store).line
        entry = PromptModelEntry(title, line, lambda _: load_tuned(path), instant=True)
        others = {name: other for name, other in self._entries.items() if name not in (BUILT_IN, TUNED)}
        self._entries = {BUILT_IN: self._entries[BUILT_IN], TUNED: entry, **others}
        return path

    def download(self, name: str, job: Job) -> None:
        """Fetch a model's weights: resumable, checked. Raises DownloadFailed; Cancelled when the job is."""
        entry = self._entry(name)
        if entry.weights is None:
            raise ValueError(f"{entry.title} has nothing to download")

        def progress(done: int, total: int) -> None:
            job.check()
            job.report(f"fetching {entry.title}", done, total)

        fetch(CATALOGUE[entry.weights], progress)
        job.report(f"{entry.title} is ready", 1, 1)

    def models(self) -> list[dict[str, Any]]:
        """Every prompt model with its state: ready, missing (can be downloaded), file (give one), extra (a package)."""
        return [self._describe(name, entry) for name, entry in self._entries.items()]

    def answering(self) -> dict[str, Any]:
        """Who answers the next click, and why it is not the chosen one."""
        why, name = self._embeddings.why(), self._chosen
        if name == REMOTE and self._server is not None and (lost := self._server.why):
            name, why = self._name_here, f"{lost}, {AS_BUILT_IN}; the app tries again by itself."
        volumes = self._chosen == REMOTE
        return {
            "name": self._chosen,
            "answering": self._entries[name].title,
            "why": why,
            "volumes": volumes,
        }

    def _tell_server(self) -> None:
        """The server for volumes was lost, or is there again."""
        if self._chosen == REMOTE:
            self._on_progress(EmbeddingProgress(self._entries[REMOTE].title, "idle"))

    def _begin(self, model: str | None) -> None:
        """What was asked for; else what was used last, if it still can be; else the built-in one."""
        if model or self._checkpoint:
            return self.choose(model or GIVEN)
        name = chosen_name(self._store)
        usable = name in self._entries and self._state(self._entries[name])[0] == "ready"
        self.choose(name if usable and name != BUILT_IN else self._default_model())

    def _default_model(self) -> str:
        """The built-in model, tuned where it is and nobody switched that off."""
        on = TUNED in self._entries and self._store.setting(TUNED_SETTING) != "off"
        return TUNED if on else BUILT_IN

    def _entry(self, name: str) -> PromptModelEntry:
        if name not in self._entries:
            raise LookupError(f"there is no prompt model {name!r}; there are: {', '.join(self._entries)}")
        return self._entries[name]

    def _describe(self, name: str, entry: PromptModelEntry) -> dict[str, Any]:
        state, detail = self._state(entry)
        speed = self._speeds.of(name)
        weights = CATALOGUE[entry.weights] if entry.weights else None
        return {
            "name": name,
            "title": entry.title,
            "state": state,
            "detail": detail,
            "active": name == self._chosen,
            "volumes": name == REMOTE,
            "speed": None if speed is None else asdict(speed),
            "bytes": weights.size if weights else None,
            "arrived": arrived(weights) if weights and state == "missing" else 0,
        }

    def _state(self, entry: PromptModelEntry) -> tuple[str, str]:
        return state_of(entry, self._path(entry))

    def _path(self, entry: PromptModelEntry) -> Path | None:
        if entry is self._entries.get(GIVEN):
            return self._checkpoint
        return find(CATALOGUE[entry.weights]) if entry.weights else None

    def _answerer(self, name: str) -> Answerer:
        """An instant model in this process."""
        with self._lock:
            if name not in self._answerers:
                self._answerers[name] = Answerer(self._entries[name].factory(None))
            return self._answerers[name]


def list_models() -> list[dict[str, Any]]:
    """Every prompt model with its state, for the command line."""
    found = {n: find(CATALOGUE[e.weights]) if e.weights else None for n, e in PROMPT_MODELS.items()}
    return [
        {"name": n, "title": e.title, "state": state_of(e, found[n])[0]} for n, e in PROMPT_MODELS.items()
    ]


def state_of(entry: PromptModelEntry, path: Path | None) -> tuple[str, str]:
    """Whether a model can answer, and what it is good at or what it lacks."""
    absent = [package for package in entry.packages if importlib.util.find_spec(package) is None]
    if absent:
        return "extra", f"{entry.good_at}. Needs: pip install {' '.join(absent)}"
    if entry.weights is None or path is not None:
        return "ready", entry.good_at
    weights = CATALOGUE[entry.weights]
    if not weights.url:
        return "file", f"{entry.good_at}. Save {weights.file} from {weights.source} in the weights folder"
    size = f"{megabytes(weights.size)}, " if weights.size else ""
    return "missing", f"{entry.good_at}. Download: {size}{weights.licence}"


def _of_server(server: VolumeServer) -> PromptModelEntry:
    """In the list of models; whoever opens it here gets its stand-in."""
    good_at = (
        "whole objects in volumes, from clicks, boxes, scribbles and outlines on any slices; another server"
    )
    return PromptModelEntry(server.title, good_at, lambda _: load_builtin(None), instant=True)


def _given(checkpoint: Path) -> PromptModelEntry:
    """A checkpoint of the SAM family that a person has on disk."""
    if not checkpoint.is_file():
        raise FileNotFoundError(f"{checkpoint} does not exist; give a SAM checkpoint")
    title = f"SAM checkpoint {checkpoint.name}"
    return replace(PROMPT_MODELS["mobile_sam"], title=title, good_at="what it was trained for", weights=None)
