"""What a person can do: see, prompt, commit, take back, choose. Synchronous and thread-safe; no widgets, no HTTP."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotator.jobs import Job
from annotator.labels.changes import Changes
from annotator.labels.class_edits import ClassEdits, ClassesEdited, class_list
from annotator.labels.commit import Outcome, Refused, check_ref
from annotator.labels.label_cache import LabelCache
from annotator.labels.progress import Progress
from annotator.labels.repair import Repair
from annotator.labels.submitting import Submission
from annotator.labels.undoing import without_members
from annotator.prompting.answering import PackedAnswer, Question, StoredSlice
from annotator.prompting.channel_looks import keep_look, kept_looks
from annotator.prompting.embedding_queue import SliceView
from annotator.prompting.service import PromptService
from annotator.protocol import outgoing
from annotator.protocol.arrays import for_wire, wire_dtype
from annotator.protocol.frames import unpack_bits
from annotator.protocol.incoming import (
    CommitMessage,
    LookMessage,
    MendMessage,
    PredictMessage,
)
from annotator.protocol.outgoing import Message
from annotator.protocol.prompts import box_within
from annotator.scenes.scene_maps import SceneMaps
from annotator.text import sentence
from annotator.windowing import views_of
from storage.arrays import SliceRef, TornFile, open_npy, plane, slice_shape
from storage.channels.named import ChannelLook
from storage.database import StorageBusy, StorageFull
from storage.formats.grid import shows_moments
from storage.image_states import ImageQuery, Trait
from storage.predictions import PredictionRow
from storage.rows import ImageRow
from storage.store import Store

if TYPE_CHECKING:
    from annotator.background import Background

__all__ = ["Outcome", "Refused", "Workflow"]

TRAITS = {"flag": "flagged", "first": "first", "skip": "skipped"}  # as the list of images names them


class Workflow:
    """Shared by every tab of one server. Answers are the messages of docs/protocol.md."""

    def __init__(self, store: Store, prompting: PromptService) -> None:
        self.store, self.prompting = store, prompting
        self.folds = LabelCache(store)
        self.background: Background | None = None  # none: nothing is proposed, as in quick tests
        self.progress = Progress(store, self.folds)
        self.repair = Repair(store, self.folds)
        self.scenes = SceneMaps(store, self.progress)
        self._changes, self._class_edits = Changes(store, self.folds), ClassEdits(store, self.folds)

    def start_background(
        self, publish: Callable[[Message], None], engine: Executor, *, learn: bool
    ) -> "Background":
        """Fill volumes and, where `learn`, train on this engine from now on; news go to `publish`, from any thread."""
        from annotator.background import Background  # learners: a page without them starts sooner

        def use_tuned_layers() -> None:
            self.prompting.use_tuned_layers()
            publish(outgoing.project())
            publish(self.answering())

        self.background = Background(
            self.store, self.folds, engine, learn=learn, publish=publish, use_tuned_layers=use_tuned_layers
        )
        self.background.open()
        self.prompting.subscribe(queue_head=self.background.head)
        return self.background

    def close(self) -> None:
        if self.background is not None:
            self.background.close()
        self.prompting.close()
        self.store.close()

    # see

    def project(self, user: str) -> Message:
        return {
            "name": self.store.root.name,
            "user": user,
            "looking": sentence(self.store.looking) if self.store.looking else "",
            "classes": class_list(self.store),
            "models": self.prompting.models(),
            "images_total": self.store.images(limit=0)[0],
            "scenes": self.scenes.listed(),
            "proposes": self.background is not None,
        }

    def images(self, offset: int, limit: int, query: ImageQuery) -> Message:
        """A page of the list of images. Half a second for 10,000 images would be felt: all of it is one query."""
        self.progress.catch_up()
        total, states = self.store.image_states.page(query, offset, limit)
        ids = [state.id for state in states]
        counts, proposals = self.store.slice_counts(ids), self.store.predictions.newest_of(ids)
        items = [
            {
                **_item(row, *counts.get(row.id, (0, 0, 0))),
                "proposal": _proposal(proposals.get(row.id)),
                "state": state.state,
                "known": state.known,
                "marks": [
                    name for name in ("held_out", "flagged", "first", "skipped") if getattr(state, name)
                ],
            }
            for row, state in zip(self.store.images_of(ids), states)
        ]
        return {"total": total, "items": items}

    def mark(self, user: str, image_id: int, trait: Trait, on: bool) -> Message:
        """Flag an image, put it first or leave it out of the queue; the message for every page. Raises LookupError."""
        self.store.image(image_id)
        self.store.image_states.set_trait(image_id, trait, on, user)
        return outgoing.mark(image_id, TRAITS[trait], on, user)

    def image(self, image_id: int) -> Message:
        image = self.store.image(image_id)
        with self.folds.lock:
            folded = self.folds.get(image_id)
            rev, problems, known = folded.rev, list(folded.problems), folded.known_share
        return {
            **_item(image, 0, 0, rev),
            "channels": image.channels,
            "dtype": wire_dtype(image.dtype),
            "named": self._named(image),
            "spacing_mm": image.spacing_mm,
            "marks": image.marks,
            "window": image.window,
            "range": image.value_range,
            "presets": [{"name": name, "lo": low, "hi": high} for name, low, high in image.presets],
            "modality": image.modality,
            "slices": self.store.slice_states(image_id),
            "known": known,
            "problems": problems,
            "scene": self.scenes.place_of(image_id),
        }

    def _named(self, image: ImageRow) -> list[Message]:
        """Its channels, each as it is shown in this project."""
        return [
            {
                "name": channel.name,
                "dtype": wire_dtype(channel.dtype),
                "color": look.color,
                "window": look.window,
                "gamma": look.gamma,
                "shown": look.shown,
                "range": channel.value_range,
            }
            for channel, look in zip(image.named, kept_looks(self.store, image), strict=True)
        ]

    def keep_look(self, name: str, look: ChannelLook) -> None:
        """Channels of this name are shown so from now on. Raises Refused."""
        if self.store.looking:
            raise Refused(self.store.looking)
        keep_look(self.store, name, look)

    def pixels(self, image_id: int, z0: int, z1: int, channel: int | None = None) -> NDArray:
        """(z1 - z0, Y, X[, 3]) in a wire type, of the picture or of a channel."""
        volume = self._volume(image_id, channel)
        _check_slab(volume.shape, z0, z1)
        return for_wire(volume[z0:z1])

    def slice(self, ref: SliceRef, channel: int | None = None) -> NDArray:
        """(rows, columns[, 3]) in a wire type, of the picture or of a channel."""
        volume = self._volume(ref.image_id, channel)
        check_ref(volume.shape[:3], ref)
        return for_wire(plane(volume, ref.axis, ref.index))

    def _volume(self, image_id: int, channel: int | None) -> NDArray:
        image = self.store.image(image_id)
        if channel is not None and channel >= len(image.named):
            raise LookupError(f"this image has {len(image.named)} channels; reload the page")
        return open_npy(image.path if channel is None else image.named[channel].path)

    def labels(self, image_id: int, z0: int, z1: int) -> tuple[NDArray[np.uint8], int]:
        """(z1 - z0, Y, X) classes, 255 where nothing is known, and the revision they show."""
        with self.folds.lock:
            folded = self.folds.get(image_id)
            _check_slab(folded.classes.shape, z0, z1)
            return folded.known(z0, z1), folded.rev

    def instances(self, image_id: int, z0: int, z1: int) -> tuple[NDArray[np.uint16], int]:
        """(z1 - z0, Y, X) object numbers, 0 for none, and the revision they show."""
        with self.folds.lock:
            folded = self.folds.get(image_id)
            _check_slab(folded.classes.shape, z0, z1)
            if folded.instances is None:
                return np.zeros((z1 - z0, *folded.classes.shape[1:]), np.uint16), folded.rev
            return folded.instances[z0:z1].astype("<u2"), folded.rev

    def history(self, user: str) -> Message:
        undo, redo = map(without_members, self.store.history.of(user))
        return {"undo": [_event(e) for e in undo], "redo": [_event(e) for e in redo]}

    # say

    def commit(self, user: str, message: CommitMessage, payload: bytes) -> Outcome:
        """Take a label, complete, accept, undo or redo message. Durable when it returns; raises Refused."""
        return self._changed(lambda: self._changes.take(user, message, payload))

    def submit(self, user: str, submission: Submission) -> Outcome:
        """Take a whole label map that was saved in another tool, as `commit` takes a label."""
        return self._changed(lambda: self._changes.submit(user, submission))

    def _changed(self, change: Callable[[], Outcome]) -> Outcome:
        if self.store.looking:  # a page that has changes left keeps them until the project can be written
            raise Refused(self.store.looking, retry=True)
        try:
            outcome = change()
            self._labels_changed(outcome)
            return outcome
        except (StorageFull, StorageBusy) as error:
            raise Refused(str(error), retry=True) from error
        except (LookupError, ValueError, TornFile) as error:  # waiting does not mend them
            raise Refused(str(error)) from error

    def _labels_changed(self, outcome: Outcome) -> None:
        if self.background is not None:
            for image_id in {message["image"] for message, _ in outcome.broadcasts}:
                self.background.labelled(image_id)

    def imported(self, image_ids: set[int]) -> None:
        """Images or their labels came by another way than a commit."""
        for image_id in image_ids:
            self.folds.forget(image_id)
        if self.background is not None:
            self.background.notify()

    def refill(self, image_ids: Collection[int]) -> None:
        """Their fills are gone: those with labels are filled anew."""
        if self.background is not None:
            for image_id in filter(self.background.fills.knows_labels, image_ids):
                self.background.fills.refresh(image_id)

    def edit_classes(self, user: str, change: Message) -> ClassesEdited:
        """Add, rename, recolor, code, count, remove, merge or delete a class; the new list. Raises ValueError and
        LookupError."""
        edited = self._class_edits.edit(user, change)
        self.imported(set(edited.images))
        return edited

    # prompt

    def predict(self, message: PredictMessage, payload: bytes) -> tuple[Message, bytes]:
        """The mask message for a predict message, and its packed candidates. Raises Refused."""
        answer = self.predict_together([(message, payload)])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def predict_together(
        self, asked: Sequence[tuple[PredictMessage, bytes]]
    ) -> list[tuple[Message, bytes] | Exception]:
        """As `predict`, to several people at once; what is wrong with one's question is no other's fault."""
        if self.store.looking:
            return [Refused(self.store.looking)] * len(asked)
        answers: dict[int, tuple[Message, bytes] | Exception] = {}
        questions: dict[int, Question] = {}
        for n, (message, payload) in enumerate(asked):
            try:
                questions[n] = self._question(message, payload)
            except (LookupError, ValueError, TornFile) as error:
                answers[n] = Refused(str(error))
        for n, found in zip(questions, self.prompting.answer(list(questions.values())), strict=True):
            answers[n] = _mask_message(questions[n], found)
        return [answers[n] for n in range(len(asked))]

    def _question(self, message: PredictMessage, payload: bytes) -> Question:
        image = self.store.image(message.image)
        check_ref(image.shape, SliceRef(message.image, message.axis, message.index))
        channels = views_of(image, message.channel_looks)
        shown = StoredSlice(image.path, message.axis, message.index, message.window, channels)
        saw = tuple(c.name for c, view in zip(image.named, channels) if view.look.shown)
        return Question(shown, message, payload, saw=saw)

    def mend(
        self, message: MendMessage, payload: bytes, cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[Message, bytes]:
        """The `mended` message for a part of a slice. Raises Refused, PropagationCancelled."""
        if self.store.looking:
            raise Refused(self.store.looking)
        if self.background is None:
            raise Refused("Proposals are switched off; restart the server without --no-fill.")
        try:
            ref, shape = (
                SliceRef(message.image, message.axis, message.index),
                self.store.image(message.image).shape,
            )
            check_ref(shape, ref)
            box = box_within(message.box, slice_shape(shape, ref.axis))
            return self.background.mending.preview(message, unpack_bits(payload, box.shape), cancelled)
        except (LookupError, ValueError, TornFile) as error:
            raise Refused(str(error)) from error

    def look(self, message: LookMessage) -> None:
        """This slice is open now: get its embedding ready, then its neighbours'."""
        ref = SliceRef(message.image, message.axis, message.index)
        check_ref(self.store.image(ref.image_id).shape, ref)
        if self.store.looking:  # nothing is prompted
            return
        try:
            shown = SliceView(ref, message.window, message.channel_looks)
            self.prompting.look(shown, message.direction)
        except ValueError:  # of a window that was closed meanwhile; a prompt on it says so
            return
        if self.background is not None:
            self.background.look(ref.image_id)

    def choose_model(self, name: str) -> None:
        """Raises LookupError for an unknown model, ValueError for one that is not ready."""
        self.prompting.choose(name)

    def download_model(self, name: str, job: Job) -> None:
        """Fetch a model's weights in a job's thread. Raises LookupError, ValueError, DownloadFailed."""
        self.prompting.download(name, job)

    def answering(self) -> Message:
        """Which model answers, and why."""
        return outgoing.model(**self.prompting.answering())


def _mask_message(question: Question, found: PackedAnswer | Exception) -> tuple[Message, bytes] | Exception:
    if isinstance(found, LookupError | ValueError | TornFile):
        return Refused(str(found))
    if isinstance(found, Exception):
        return found
    told = outgoing.mask(
        question.message.seq,
        model=found.model,
        ms=found.ms,
        why=found.why,
        saw=list(question.saw),
        candidates=found.candidates,
        volume=found.volume,
    )
    return told, found.bits


def _item(row: ImageRow, labelled: int, complete: int, rev: int) -> Message:
    return {
        "id": row.id,
        "name": row.name,
        "kind": "volume" if row.is_volume else "image",
        "shape": row.shape,
        "frames": row.is_volume and shows_moments(row.geometry),
        "slices_labelled": labelled,
        "slices_complete": complete,
        "rev": rev,
    }


def _proposal(row: PredictionRow | None) -> Message | None:
    if row is None:
        return None
    facts = {
        "producer": row.producer,
        "kind": row.kind,
        "expected_dice": row.expected.shown if row.expected else None,
    }
    return {**facts, "round": row.round_id}


def _event(event: Any) -> Message:
    return {
        "id": event.client_id,
        "image": event.ref.image_id,
        "axis": event.ref.axis,
        "index": event.ref.index,
        "act": event.act,
        "name": event.name,
    }


def _check_slab(shape: tuple[int, ...], z0: int, z1: int) -> None:
    if not 0 <= z0 < z1 <= shape[0]:
        raise LookupError(f"the image has slices 0 to {shape[0] - 1}, no slab {z0} to {z1}")
