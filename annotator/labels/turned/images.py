"""An image that is shown as its new header says: an image of its own in the order of the screen, with all that was
said of the one that it replaces. That one goes to the bin, so that a late stroke on it lands nowhere else."""

import json
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from annotator.labels.turned.turn import Turn
from annotator.learning.image_groups import SETTING, read_groups
from storage.arrays import SliceRef, open_npy, read_patch
from storage.channels.named import Channel
from storage.events.current_act import current_act
from storage.events.relabels import patch_now
from storage.events.revoking import member
from storage.formats import Grid
from storage.formats.grid import as_moments, shows_moments
from storage.image_sources import digest_of
from storage.rows import ImageRow, LabelRow, NewLabel
from storage.scan import Scan
from storage.store import Store
from storage.tags import NewTag, TagBatch

KEPT = ("from", "file", "import", "box_of")  # of prompts: the rest are places on the screen as it was


def turn_image(store: Store, image: ImageRow, grid: Grid, turn: Turn) -> int:
    """The id of the image that stands for this one from now on, within the act under way, which notes it."""
    act = current_act.get()
    if act is None:
        raise RuntimeError("an image is turned within an act, so that it can be undone")
    labels, tags = store.labels(image.id), store.tags.of([image.id])
    held = [(axis, index) for one, axis, index in store.rounds.held_out() if one == image.id]
    scan = _scan(image, grid, turn, store.pixels(image.id))
    store.acts.revoke_images([image.id], "turned", act)
    store.bin.put([image.id], act)
    (now,) = store.add_images({digest_of(scan): scan})
    new = list(_labels(labels, turn, now, f"t{act}-{now}-"))
    if new:
        store.add_labels(new)
    for tag in tags:
        ref = SliceRef(now, *turn.place(tag.ref.axis, tag.ref.index))
        by = TagBatch(f"t{act}-tag{tag.id}", tag.author, tag.source, tag.seconds)
        store.tags.add([NewTag(ref, tag.classes, tag.present)], by)
    for axis, index in held:
        store.rounds.hold_out(now, *((axis, index) if axis < 0 else turn.place(axis, index)))
    pass_on(store, image.id, now)
    store.acts.note(act, turned={**store.acts.get(act).facts.get("turned", {}), str(image.id): now})
    return now


def pass_on(store: Store, before: int, now: int) -> None:
    """What is known of an image beside what people said: its files, its group and its marks."""
    store.sources.pass_on(before, now)
    if (groups := read_groups(store)).get(before):
        store.set_setting(SETTING, json.dumps({**groups, now: groups[before]}))


def _scan(image: ImageRow, grid: Grid, turn: Turn, pixels: NDArray[Any]) -> Scan:
    return Scan(
        name=image.name,
        pixels=turn.array(pixels),
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=as_moments(grid.json(), shows_moments(image.geometry)),
        modality=image.modality,
        window=image.window,
        value_range=image.value_range,
        presets=image.presets,
        source=image.source,
        named=tuple(Channel(one.name, turn.array(open_npy(one.path)), one.look) for one in image.named),
    )


def _labels(labels: list[LabelRow], turn: Turn, image_id: int, batch: str) -> Iterator[NewLabel]:
    """Every living event again, in the classes of today; who said it, how and for how long stays."""
    for number, label in enumerate(labels):
        patch = None
        if label.box is not None and label.path is not None:
            read = patch_now(read_patch(label.path, label.box), label.relabelled)
            patch = turn.patch(label.axis, label.index, read)
        yield NewLabel(
            ref=SliceRef(image_id, *turn.place(label.axis, label.index)),
            patch=patch,
            client_id=member(batch, number + 1),
            author=label.author,
            source=label.source,
            seconds=label.seconds,
            prompts={key: label.prompts[key] for key in KEPT if key in label.prompts},
            instance=label.instance,
        )
