"""Whatever changes labels comes through here: one change after another, each answered once and for all."""

from collections.abc import Iterator
from contextlib import contextmanager

from annotator.labels.accept import Accepting
from annotator.labels.clearing import Clearing
from annotator.labels.commit import Commits, Outcome, Refused
from annotator.labels.label_cache import LabelCache
from annotator.labels.object_acts import ObjectActs
from annotator.labels.submitting import Submission, Submitting
from annotator.labels.undoing import Undoing
from annotator.labels.volumes.prompted import VolumeLabels
from annotator.protocol.incoming import (
    AcceptMessage,
    ClearMessage,
    CommitMessage,
    ObjectsMessage,
    UndoMessage,
    VolumeMessage,
)
from annotator.protocol.outgoing import ack
from storage.store import Store


class Changes:
    """Thread-safe."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds
        self._commits, self._accepting = Commits(store, folds), Accepting(store, folds)
        self._undoing, self._clearing = Undoing(store, folds), Clearing(store, folds)
        self._objects = ObjectActs(store, folds)
        self._volumes = VolumeLabels(store, folds)
        self._submitting = Submitting(store, folds)

    def take(self, user: str, message: CommitMessage, payload: bytes) -> Outcome:
        """Durable when it returns. The same message again changes nothing and gets the first answer. Raises Refused,
        LookupError, ValueError, TornFile, StorageFull; then nothing of it was written."""
        with self._changing():
            return self._answered(message) or self._take(user, message, payload)

    def submit(self, user: str, submission: Submission) -> Outcome:
        """As `take`, of what a person saved in another tool."""
        with self._changing():
            return self._submitting.take(user, submission)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._folds.lock:  # conflicts are judged against what is on disk
            try:
                yield
            except (Refused, LookupError, ValueError):
                raise
            except BaseException:
                self._folds.forget_all()  # perhaps ahead of the disk, which did not take the change
                raise

    def _answered(self, message: CommitMessage) -> Outcome | None:
        """What was said when this message came before, for instance when the acknowledgement was lost."""
        if kept := self._store.answers.of(message.id):
            return Outcome(kept)
        label = self._store.find_label(message.id)  # older projects kept no answers
        return None if label is None else Outcome(ack(message.id, label=label, rev=label))

    def _take(self, user: str, message: CommitMessage, payload: bytes) -> Outcome:
        if isinstance(message, AcceptMessage):
            return self._accepting.accept(user, message, payload)
        if isinstance(message, ObjectsMessage):
            return self._objects.take(user, message)
        if isinstance(message, UndoMessage):
            return self._undoing.take(user, message)
        if isinstance(message, VolumeMessage):
            return self._volumes.take(user, message, payload)
        if isinstance(message, ClearMessage):
            return self._clearing.take(user, message)
        return self._commits.take(user, message, payload)
