"""Outlines along pixel edges enclose what they were made from, by our rule and by the rules of others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as rle
from skimage.draw import polygon2mask

from storage.formats.shapes.outlines import filled, one_path, outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.booleans())


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_what_is_outlined_is_what_is_filled(mask: np.ndarray):
    parts = outlines(mask)
    rings = [ring for part in parts for ring in part.rings]
    assert np.array_equal(filled(rings, mask.shape), mask)
    if parts:
        assert np.array_equal(filled([one_path(parts)], mask.shape), mask)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_each_ring_visits_a_corner_once(mask: np.ndarray):
    for part in outlines(mask):
        for ring in part.rings:
            assert len({tuple(p) for p in ring.tolist()}) == len(ring) >= 4


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_others_fill_outer_rings_as_we_do(mask: np.ndarray):
    for part in outlines(mask):
        ours = filled([part.outer], mask.shape)
        packed = rle.frPyObjects([part.outer.ravel().astype(float).tolist()], *mask.shape)
        assert np.array_equal(rle.decode(packed)[..., 0].astype(bool), ours)
        # scikit-image asks for (row, column) of middles
        assert np.array_equal(polygon2mask(mask.shape, part.outer[:, ::-1] - 0.5), ours)


@pytest.mark.parametrize("way", [1, -1])
def test_what_lies_outside_the_picture_is_cut_off_whatever_the_direction(way: int):
    ring = np.array([(-3.0, -2.0), (2.0, -2.0), (2.0, 50.0), (-3.0, 50.0)])[::way]
    mask = filled([ring], (4, 5))
    assert mask[:, :2].all() and not mask[:, 2:].any()
