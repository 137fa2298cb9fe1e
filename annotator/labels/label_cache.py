"""The labels of the images in use, folded and kept in memory; everything here can be thrown away."""

import threading
from collections import OrderedDict

from storage.arrays import Patch
from storage.fold import Folded, Region, apply, fold, label_region, refold
from storage.rows import LabelRow
from storage.store import Store

KEEP_BYTES = 400_000_000  # a handful of 512x512x300 volumes


class LabelCache:
    """Thread-safe. The fold of an image is changed only while `lock` is held."""

    def __init__(self, store: Store, keep_bytes: int = KEEP_BYTES) -> None:
        self._store, self._keep_bytes = store, keep_bytes
        # Protects the cache and its arrays; the store's lock is taken inside it.
        self.lock = threading.RLock()
        self._cache: OrderedDict[int, Folded] = OrderedDict()

    def get(self, image_id: int) -> Folded:
        """Read and copy it under `lock`."""
        with self.lock:
            if image_id not in self._cache:
                image = self._store.image(image_id)
                folded = fold(image.shape, self._store.labels(image_id))
                folded.rev = self._store.newest_label(image_id)
                folded.unsaid = folded.count_unsaid()
                self._cache[image_id] = folded
                self._shrink()
            self._cache.move_to_end(image_id)
            return self._cache[image_id]

    def unsaid(self, image_id: int) -> int:
        """Voxels of an image that nobody spoke about; one that is not in use does not stay in memory for it."""
        with self.lock:
            if image_id in self._cache:
                return self._cache[image_id].unsaid
            return fold(self._store.image(image_id).shape, self._store.labels(image_id)).count_unsaid()

    def add(self, label: LabelRow, patch: Patch | None) -> Folded:
        """Lay a label that was just stored on top."""
        with self.lock:
            folded = self.get(label.image_id)
            if label.id > folded.rev:
                region = label_region(folded, label)
                before = folded.count_unsaid(region)
                apply(folded, label, patch)
                folded.unsaid += folded.count_unsaid(region) - before
            return folded

    def redo(self, image_id: int, region: Region) -> Folded:
        """Work a region out anew after an event was taken back or restored."""
        with self.lock:
            folded = self.get(image_id)
            before = folded.count_unsaid(region)
            refold(folded, region, self._store.labels(image_id))
            folded.unsaid += folded.count_unsaid(region) - before
            folded.rev = self._store.newest_label(image_id)
            return folded

    def forget(self, image_id: int) -> None:
        """After labels arrived by another way, such as an import."""
        with self.lock:
            self._cache.pop(image_id, None)

    def forget_all(self) -> None:
        """After a change that failed half-way."""
        with self.lock:
            self._cache.clear()

    def _shrink(self) -> None:
        while len(self._cache) > 1 and sum(_bytes(f) for f in self._cache.values()) > self._keep_bytes:
            self._cache.popitem(last=False)


def _bytes(folded: Folded) -> int:
    return folded.classes.nbytes + (0 if folded.instances is None else folded.instances.nbytes)
