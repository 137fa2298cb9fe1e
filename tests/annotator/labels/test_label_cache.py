"""The folded labels in memory: what nobody spoke about is counted along, whatever happens to labels."""

import numpy as np

from annotator.labels.label_cache import LabelCache
from storage.arrays import ERASED, Box, Patch, SliceRef
from storage.fold import slice_region
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball


def test_unsaid_voxels_are_counted_along_with_every_change(store: Store) -> None:
    shape = ball()[0].pixels.shape
    image, folds, random = store.add_image(ball()[0]), LabelCache(store), np.random.default_rng(1)
    folds.get(image)
    for n in range(60):
        axis = int(random.integers(3))
        ref = SliceRef(image, axis, int(random.integers(shape[axis])))
        if n % 4 == 3:
            new = NewLabel(ref, None, str(n), "ann")
        else:
            classes = random.choice(np.array([0, 1, ERASED, 255], np.uint8), (4, 5))
            new = NewLabel(ref, Patch(Box(2, 1, 6, 6), classes), str(n), "ann")
        row = store.add_label(new)
        folds.add(row, new.patch)
        if n % 5 == 4:
            store.revoke(str(n), client_id=f"u{n}", author="ann")
            folds.redo(image, slice_region(shape, axis, ref.index))
        assert (
            folds.get(image).unsaid
            == folds.get(image).count_unsaid()
            == (folds.get(image).known() == 255).sum()
        )
