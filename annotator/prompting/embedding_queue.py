"""Which slices wait for their embedding, and who takes which."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from storage.arrays import SliceRef
from storage.channels.named import ChannelLook

NEIGHBOURS = 3  # slices ahead in the direction of scrolling; one fewer behind
# Encoders elsewhere that a slice may cost: one that ends them by its size would end the server too.
DEATHS = 2


@dataclass(frozen=True)
class SliceView:
    """A slice as it is on screen: the window is part of what a model sees."""

    ref: SliceRef
    window: tuple[float, float]
    looks: tuple[ChannelLook, ...] = ()  # of its channels, where the image has several


@dataclass(frozen=True)
class QueuedSlice:
    """A slice that somebody works on, and of which look."""

    shown: SliceView
    look: int


class EmbeddingQueue:
    """The slices of the newest look, most urgent first. Not thread-safe: hold `EmbeddingState.changed` around it."""

    def __init__(self) -> None:
        self._near: list[SliceView] = []
        self._far: list[SliceView] = []
        self._open: SliceView | None = None
        self.look_number = 0  # so that a slice of an earlier look is not counted into a later one
        self._extended = 0  # the look that has what comes after its slices
        self._deaths: Counter[SliceView] = Counter()
        self.done = self.total = 0
        self.up = self.free = 0  # encoders elsewhere that are alive, and those of them that wait for a slice
        self.seconds_here = self.seconds_there = 0.0  # that the last encoding took; 0 where there was none

    def __bool__(self) -> bool:
        return bool(self._near or self._far)

    def replace(self, near: Sequence[SliceView], far: Iterable[SliceView] = ()) -> None:
        """These next, in place of all that waited; `far` comes when nothing else waits."""
        self._near, self._far = list(near), list(far)
        self._open = self._near[0] if self._near else None
        self.done, self.total = 0, len(self._near) + len(self._far)
        self.look_number += 1
        self._deaths.clear()

    def drop(self) -> None:
        """Nothing is wanted any more, and what was measured was another model's."""
        self.replace([])
        self.seconds_here = self.seconds_there = 0.0

    @property
    def to_extend(self) -> SliceView | None:
        """The open slice, where encoders elsewhere are about to have nothing to do."""
        return self._open if self.up and not self._near and self._extended < self.look_number else None

    def extend(self, look: int, far: Iterable[SliceView]) -> None:
        """What comes after the slices of this look, unless there was another since."""
        if look == self.look_number:
            self._extended = look
            more = list(far)
            self._far += more
            self.total += len(more)

    @property
    def local_worker_takes_next(self) -> bool:
        """Whether the server's own worker is to take the next slice.

        All of them while nobody else can: Ray takes ten seconds to start, a dead encoder some to load again. Then only
        the open one, wherever it is ready sooner. A free encoder elsewhere has nothing else to do, perhaps on a GPU,
        and leaves our processors to clicks. Where all are busy, one is free after at most one encoding and needs
        another, so here is sooner where it takes less than twice as long.
        """
        if not self.up:
            return bool(self)
        opened = bool(self._near) and self._near[0] == self._open
        return opened and not self.free and self.seconds_here < 2 * self.seconds_there

    def take(self) -> QueuedSlice:
        return QueuedSlice((self._near or self._far).pop(0), self.look_number)

    def retry(self, taken: QueuedSlice) -> bool:
        """Its encoder died: unless it is stale it waits again, first of all. False where it has cost enough of them."""
        if taken.look != self.look_number:
            return True
        self._deaths[taken.shown] += 1
        if self._deaths[taken.shown] >= DEATHS:
            return False
        self._near.insert(0, taken.shown)
        return True

    def record_seconds(self, seconds: float, *, here: bool) -> None:
        """How long an encoding lasted."""
        if here:
            self.seconds_here = seconds
        else:
            self.seconds_there = seconds

    def finish(self, taken: QueuedSlice) -> None:
        self.done += taken.look == self.look_number


def neighbours(shown: SliceView, count: int, direction: int) -> list[SliceView]:
    """The open slice, then those around it among `count` slices of its axis, first in the direction of scrolling."""
    forward = 1 if direction >= 0 else -1
    steps = [0]
    for step in range(1, NEIGHBOURS + 1):
        steps += [forward * step] + ([-forward * step] if step < NEIGHBOURS else [])
    return beside(shown, steps, count)


def beside(shown: SliceView, steps: Iterable[int], count: int) -> list[SliceView]:
    """The slices so many steps along the axis from this one, where they are among `count`."""
    ref = shown.ref
    wanted = [ref.index + step for step in steps]
    return [
        replace(shown, ref=SliceRef(ref.image_id, ref.axis, index)) for index in wanted if 0 <= index < count
    ]
