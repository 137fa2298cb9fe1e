"""What the routes of the dialect share."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from annotator.background import Background
from annotator.dialects.label_maps import note_seen
from annotator.dialects.monai.lent_images import LentImages
from annotator.web.context import AppContext

MOST_OFFERED = 1000  # images of which it is remembered what somebody was shown

Offered = tuple[
    NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]
]  # per axis: slices with something on them


@dataclass
class Desk:
    """One for a server. What is kept here may be lost: an empty slice then says nothing."""

    context: AppContext
    lent: LentImages = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # protects the one below; a leaf
    _offered: OrderedDict[tuple[str, int], Offered] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.lent = LentImages(self.context.exports / "lent")

    @property
    def background(self) -> Background:
        found = self.context.workflow.background
        assert found is not None  # the settings see to it
        return found

    def note_shown(self, user: str, image_id: int, rev: int, classes: NDArray[np.uint8]) -> None:
        """This person sees these classes (Z, Y, X) in the tool now, which know the events up to `rev`."""
        note_seen(self.context.workflow.store, user, {image_id: rev})
        there = classes != 0
        with self._lock:
            self._offered[user, image_id] = there.any((1, 2)), there.any((0, 2)), there.any((0, 1))
            self._offered.move_to_end((user, image_id))
            while len(self._offered) > MOST_OFFERED:
                self._offered.popitem(last=False)

    def offered(self, user: str, image_id: int, axis: int) -> NDArray[np.bool_] | None:
        found = self._offered.get((user, image_id))
        return None if found is None else found[axis]
