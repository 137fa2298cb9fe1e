"""Which images or slices judge the models and never teach them."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

from annotator.learning.quality.unaided import unaided_of
from storage.rounds import Rounds
from storage.store import Store

MIN_TO_HOLD_OUT = (
    4  # labelled images (or slices, where there are fewer images) from which on some are held out
)
LABELLED_PER_HELD = 6  # one of so many
MOST_HELD = 2  # times as many are held out at most, where the first ones do not judge
WHOLE = (-1, -1)  # axis and index that stand for a whole image

T = TypeVar("T")


def choose_held_out(store: Store, rounds: Rounds, labelled: Iterable[int]) -> None:
    """One labelled image of six, the newest, from four on; with fewer images one labelled slice of six.

    Only what no round has seen may be chosen: a model must not be judged by what it learned from. Of that, only what
    people labelled themselves: an accepted proposal judges nobody (`unaided_slices`).
    """
    labelled = list(labelled)
    if len(labelled) >= MIN_TO_HOLD_OUT:
        _hold_out_images(store, rounds, labelled)
        return
    for image_id in labelled:
        _hold_out_slices(store, rounds, image_id)


def would_hold_out(store: Store) -> bool:
    """Whether a new image that people label themselves will judge."""
    labelled = store.rounds.labelled_images()
    held = {image for image, *place in store.rounds.held_out() if tuple(place) == WHOLE} & set(labelled)
    count = len(labelled) + 1
    return store.images(limit=1)[0] >= count >= MIN_TO_HOLD_OUT and len(held) < MOST_HELD * _wanted(count)


def images_held_in_part(store: Store) -> set[int]:
    """Images of which some slices judge while the others teach."""
    held = store.rounds.held_out()
    whole = {image for image, *place in held if tuple(place) == WHOLE}
    return {image for image, *_ in held} - whole


def _hold_out_images(store: Store, rounds: Rounds, labelled: Sequence[int]) -> None:
    held, seen = rounds.held_out(), rounds.newest_seen()
    images = {image for image, *place in held if tuple(place) == WHOLE}
    first_labels = sorted(rounds.first_labels().items(), key=lambda item: item[1])
    unseen = [image_id for image_id, first in first_labels if first > seen]
    free = [image_id for image_id in unseen if image_id not in images] or ([] if held else labelled)
    wanted, held_now = _wanted(len(labelled)), images & set(labelled)
    judging = [image_id for image_id in held_now if unaided_of(store, image_id)]
    room = max(0, min(wanted - len(judging), MOST_HELD * wanted - len(held_now)))
    able = (image_id for image_id in reversed(free) if unaided_of(store, image_id))
    for image_id in list(islice(able, room)) or ([] if held else free[-1:]):  # one to ask people about
        rounds.hold_out(image_id)


def _hold_out_slices(store: Store, rounds: Rounds, image_id: int) -> None:
    labels, seen = store.labels(image_id), rounds.newest_seen()
    slices = sorted(unaided_of(store, image_id))
    held = {(axis, index) for image, axis, index in rounds.held_out() if image == image_id}
    if len(slices) < MIN_TO_HOLD_OUT or WHOLE in held:
        return
    first = {(row.axis, row.index): row.id for row in reversed(labels)}
    free = [at for at in slices if at not in held and first[at] > seen] or ([] if held else slices)
    for axis, index in _newest(free, _wanted(len(slices)) - len(held & set(slices))):
        rounds.hold_out(image_id, axis, index)


def _wanted(labelled: int) -> int:
    return max(1, labelled // LABELLED_PER_HELD)


def _newest(items: Sequence[T], count: int) -> Sequence[T]:
    return items[-count:] if count > 0 else []
