"""What every tab that has an image open is told when its labels change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annotator.protocol.arrays import pack_labels
from annotator.protocol.outgoing import Message, SliceState, region, slices
from storage.fold import Folded, Region

REGION_BYTES = 16 << 20  # of one region message, so that a page can take it

Broadcast = tuple[Message, bytes]


@dataclass(frozen=True)
class Change:
    """Labels of an image that somebody changed."""

    image: int
    region: Region
    by: str


def broadcasts(change: Change, folded: Folded, states: Sequence[SliceState]) -> tuple[Broadcast, ...]:
    """The labels there now, and the states of the image's slices."""
    told = slices(change.image, folded.rev, states, known=folded.known_share)
    return (*_regions(change, folded), (told, b""))


def _regions(change: Change, folded: Folded) -> Iterator[Broadcast]:
    z0, z1, y0, y1, x0, x1 = change.region
    step = max(1, REGION_BYTES // ((y1 - y0) * (x1 - x0)))
    for low in range(z0, z1, step):
        part = (low, min(z1, low + step), y0, y1, x0, x1)
        window = tuple(slice(a, b) for a, b in zip(part[::2], part[1::2]))
        numbers = None if folded.instances is None else folded.instances[window]
        head = region(change.image, folded.rev, change.by, part, instances=numbers is not None)
        yield head, pack_labels(folded.region(part), numbers)
