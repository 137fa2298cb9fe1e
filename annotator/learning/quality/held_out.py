"""Which images or slices judge the models and never teach them."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from storage.rounds import Rounds
from storage.store import Store

MIN_TO_HOLD_OUT = (
    4  # labelled images (or slices, where there are fewer images) from which on some are held out
)
LABELLED_PER_HELD = 6  # one of so many
WHOLE = (-1, -1)  # axis and index that stand for a whole image

T = TypeVar("T")


def choose_held_out(store: Store, rounds: Rounds, labelled: Iterable[int]) -> None:
    """One labelled image of six, the newest, from four on; with fewer images one labelled slice of six.

    Only what no round has seen may be chosen: a model must not be judged by what it learned from.
    """
    labelled = list(labelled)
    if len(labelled) >= MIN_TO_HOLD_OUT:
        _hold_out_images(rounds, labelled)
        return
    for image_id in labelled:
        _hold_out_slices(store, rounds, image_id)


def _hold_out_images(rounds: Rounds, labelled: Sequence[int]) -> None:
    held, seen = rounds.held_out(), rounds.newest_seen()
    images = {image for image, *place in held if tuple(place) == WHOLE}
    first_labels = sorted(rounds.first_labels().items(), key=lambda item: item[1])
    unseen = [image_id for image_id, first in first_labels if first > seen]
    free = [image_id for image_id in unseen if image_id not in images] or ([] if held else labelled)
    for image_id in _newest(free, _wanted(len(labelled)) - len(images & set(labelled))):
        rounds.hold_out(image_id)


def _hold_out_slices(store: Store, rounds: Rounds, image_id: int) -> None:
    labels, seen = store.labels(image_id), rounds.newest_seen()
    slices = sorted({(row.axis, row.index) for row in labels})
    held = {(axis, index) for image, axis, index in rounds.held_out() if image == image_id}
    if len(slices) < MIN_TO_HOLD_OUT or WHOLE in held:
        return
    first = {(row.axis, row.index): row.id for row in reversed(labels)}
    free = [at for at in slices if at not in held and first[at] > seen] or ([] if held else slices)
    for axis, index in _newest(free, _wanted(len(slices)) - len(held)):
        rounds.hold_out(image_id, axis, index)


def _wanted(labelled: int) -> int:
    return max(1, labelled // LABELLED_PER_HELD)


def _newest(items: Sequence[T], count: int) -> Sequence[T]:
    return items[-count:] if count > 0 else []
