"""An act on objects becomes label events, one a slice that they lie on: all or none, and undone as one."""

from functools import partial

from annotator.labels import object_edits
from annotator.labels.acceptance import act_ids, check_act_id
from annotator.labels.broadcasts import Change, broadcasts
from annotator.labels.commit import Outcome, Refused, check_ref
from annotator.labels.label_cache import LabelCache
from annotator.labels.object_edits import NotThere, TellApart, VolumePatch
from annotator.labels.object_numbers import free_numbers
from annotator.protocol.incoming import ObjectsMessage
from annotator.protocol.outgoing import ack
from learners.objects.cutting import number_objects
from learners.objects.frames import number_frames
from storage.arrays import SliceRef
from storage.fold import Folded, overlap, region_of
from storage.formats.grid import shows_moments
from storage.rows import ImageRow, NewLabel
from storage.store import Store


class ObjectActs:
    """The caller holds the lock of the folds."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def take(self, user: str, message: ObjectsMessage) -> Outcome:
        """Durable when it returns. Raises Refused, LookupError, ValueError."""
        check_act_id(message.id)
        image = self._store.image(message.image)
        check_ref(image.shape, SliceRef(image.id, message.axis, message.index))
        folded = self._folds.get(image.id)
        try:
            said = self._edit(image, message, folded)
        except NotThere as error:
            raise Refused(str(error)) from error
        self._check_unchanged(user, message, said)
        labels = _labels(user, message, said)
        with self._store.together():
            rows = self._store.add_labels(labels)
            reply = ack(message.id, label=rows[-1].id, rev=rows[-1].id, slices=len(rows))
            self._store.answers.keep(message.id, reply)
        for stored, new in zip(rows, labels, strict=True):
            folded = self._folds.add(stored, new.patch)
        change = Change(image.id, said.region, user)
        return Outcome(reply, broadcasts(change, folded, self._store.slice_states(image.id)))

    def _edit(self, image: ImageRow, message: ObjectsMessage, folded: Folded) -> VolumePatch:
        free = partial(free_numbers, self._store, folded, image.id)
        if message.do == "number":
            return object_edits.numbered(folded, self._class(message), _teller(image), free)
        objects = [object_edits.find(folded, at) for at in message.at]
        if not objects:
            raise NotThere("no object is selected; click one first")
        if message.do == "merge":
            return object_edits.merged(objects, free)
        if message.do == "split":
            if message.line is None:
                return object_edits.parted(objects[0], _teller(image), free)
            return object_edits.split(objects[0], message.axis, message.line, free)
        if message.do == "holes":
            return object_edits.holes_filled(folded, objects, message.axis)
        if message.do == "class":
            return object_edits.of_class(objects, self._class(message))
        return object_edits.taken_away(objects)

    def _class(self, message: ObjectsMessage) -> int:
        if message.value not in {one.id for one in self._store.classes()}:
            raise NotThere("that class is not in this project; choose another one")
        return message.value

    def _check_unchanged(self, user: str, message: ObjectsMessage, said: VolumePatch) -> None:
        """What a person sees is what the act is about."""
        for row in self._store.labels_since(message.image, message.base_rev, user):
            if row.box and overlap(region_of(row.axis, row.index, row.box), said.region):
                raise Refused(
                    f"{row.author} changed something there meanwhile; look at the objects once more"
                )


def _teller(image: ImageRow) -> TellApart:
    """How objects of this image are told apart by shape."""
    tell = number_frames if shows_moments(image.geometry) else number_objects
    spacing = image.spacing_mm or (1.0, 1.0, 1.0)
    return lambda classes, first: tell(classes, spacing, first)


def _labels(user: str, message: ObjectsMessage, said: VolumePatch) -> list[NewLabel]:
    """The event that undo names comes last: it is the newest in the history."""
    patches = said.slices(message.axis)
    return [
        NewLabel(
            ref=SliceRef(message.image, message.axis, index),
            patch=patch,
            client_id=each,
            author=user,
            seconds=message.seconds / len(patches),
            prompts={"objects": message.do},
        )
        for (index, patch), each in zip(patches, act_ids(message.id, len(patches)), strict=True)
    ]
