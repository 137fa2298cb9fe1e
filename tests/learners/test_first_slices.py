"""The guided start of a volume: which orthogonal slices come first, and when the start is made."""

import numpy as np
import pytest

from learners.propagate.contract import LabelledSlice
from learners.propagate.first_slices import steps
from storage.arrays import UNLABELLED, SliceRef, plane
from tests.conftest import ball, drawn
from tests.support.asgi_client import small_app, small_workflow, visit

SPACING = (2.0, 1.0, 1.0)


def labelled(*slices: tuple[int, int]):
    """What is known of a box of 6 x 4 x 9 voxels once these slices of it are drawn."""
    truth = np.zeros((12, 14, 20), np.uint8)
    truth[3:9, 5:9, 8:17] = 1
    known = np.full(truth.shape, UNLABELLED, np.uint8)
    for axis, index in slices:
        np.moveaxis(known, axis, 0)[index] = plane(truth, axis, index)
    return known, tuple(LabelledSlice(axis, index, False, (1,)) for axis, index in slices)


def test_a_volume_is_begun_in_the_plane_with_the_finest_pixels():
    plan = steps(*labelled(), SPACING, 2)
    assert [(s.axis, s.index, s.done) for s in plan] == [(0, 6, False), (1, 7, False)]
    assert "label all of it" in plan[0].reason


def test_the_second_slice_crosses_the_object_where_its_longest_cut_lies():
    plan = steps(*labelled((0, 5)), SPACING, 2)
    assert [(s.axis, s.done) for s in plan] == [(0, True), (1, False)]
    assert 5 <= plan[1].index < 9 and "9 mm" in plan[1].reason
    assert steps(*labelled((2, 10)), SPACING, 2)[1].axis == 1  # 6 slices of 2 mm are longer than 4 of 1 mm


def test_the_start_is_made_after_as_many_planes_as_were_asked_for():
    known, slices = labelled((0, 5), (1, 6))
    assert [s.done for s in steps(known, slices, SPACING, 2)] == [True, True]
    assert [(s.axis, s.done) for s in steps(known, slices, SPACING, 3)] == [(0, True), (1, True), (2, False)]
    known, slices = labelled((0, 5), (1, 6), (2, 10))
    assert [s.done for s in steps(known, slices, SPACING, 2)] == [True] * 3
    with pytest.raises(ValueError, match="2 or 3"):
        steps(known, slices, SPACING, 4)


def test_a_slice_where_only_background_is_said_is_no_step_and_a_thin_volume_has_fewer():
    known, _ = labelled()
    nothing = (LabelledSlice(0, 5, True, ()),)
    assert not any(s.done for s in steps(known, nothing, SPACING, 2))
    assert [s.axis for s in steps(known[:, :1], (), SPACING, 3)] == [0, 2]


def test_planes_of_thick_slices_that_are_too_stretched_to_draw_on_are_no_step():
    assert [s.axis for s in steps(*labelled(), (7.5, 0.5, 0.5), 3)] == [0]
    assert [s.axis for s in steps(*labelled((0, 5)), (7.5, 0.5, 0.5), 2)] == [0]
    assert len(steps(*labelled(), (4.0, 0.5, 0.5), 3)) == 3
    assert [s.axis for s in steps(*labelled(), (90.0, 1.0, 0.1), 2)] == [0]  # the least stretched at least


def test_the_route_follows_what_is_labelled(tmp_path):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow, fill=True)) as client:
        assert client.get("/api/images/1/guide").json()["now"] == 0
        truth = ball()[1]
        workflow.store.add_label(drawn(SliceRef(1, 0, 4), truth[4]))
        workflow.folds.forget(1)
        plan = client.get("/api/images/1/guide?planes=3").json()
        assert plan["now"] == 1 and [step["done"] for step in plan["steps"]] == [True, False, False]
        assert plan["steps"][0] | {"reason": ""} == {"axis": 0, "index": 4, "done": True, "reason": ""}
        assert client.get("/api/images/7/guide").status_code == 404
        assert client.get("/api/images/1/guide?planes=9").status_code == 422
