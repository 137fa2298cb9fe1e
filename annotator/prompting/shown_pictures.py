"""Slices as people see them, the last few kept: what is embedded, and by what an embedding is found."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from annotator.prompting.answering import StoredSlice
from annotator.prompting.embedding_queue import SliceView
from annotator.windowing import views_of
from storage.store import Store

KEPT = 8


class ShownPictures:
    """Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()  # protects the one below; a leaf
        self._kept: OrderedDict[SliceView, NDArray[np.uint8]] = OrderedDict()

    def __call__(self, shown: SliceView) -> NDArray[np.uint8]:
        """(H, W, 3) windowed RGB. Raises LookupError, TornFile."""
        with self._lock:
            if shown in self._kept:
                self._kept.move_to_end(shown)
                return self._kept[shown]
        ref = shown.ref
        image = self._store.image(ref.image_id)
        channels = views_of(image, shown.looks)
        picture = StoredSlice(image.path, ref.axis, ref.index, shown.window, channels).picture
        with self._lock:
            self._kept[shown] = picture
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return picture
