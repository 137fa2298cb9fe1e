"""Label events laid over one another."""

import uuid

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.arrays import BACKGROUND, ERASED, UNLABELLED, Box, Patch, SliceRef, plane, write_patch
from storage.fold import Folded, apply, fold, refold, region_of, said
from storage.rows import LabelRow, NewLabel
from tests.conftest import ball, drawn

SHAPE = (3, 5, 7)


def test_labels_of_all_three_planes_make_one_volume(store):
    image_id = store.add_image(ball()[0])
    for axis, value in ((0, 1), (1, 2), (2, 3)):
        store.add_label(drawn(SliceRef(image_id, axis, 4), np.full((3, 3), value, np.uint8), at=(3, 3)))
    volume = fold((9, 17, 23), store.labels(image_id)).classes
    assert volume[4, 5, 5] == 1 and volume[5, 4, 5] == 2 and volume[5, 5, 4] == 3
    assert volume[4, 4, 5] == 2, "where planes cross the newer label stands"
    assert (volume == UNLABELLED).sum() == 9 * 17 * 23 - len({*cross(0), *cross(1), *cross(2)})


def cross(axis: int) -> set[tuple[int, ...]]:
    z, y, x = (range(4, 5) if a == axis else range(3, 6) for a in range(3))
    return {(i, j, k) for i in z for j in y for k in x}


def test_a_later_label_wins_only_where_it_says_something(store):
    image_id = store.add_image(ball()[0])
    ref = SliceRef(image_id, 0, 0)
    store.add_label(drawn(ref, np.array([[1, 1, 1]], np.uint8)))
    store.add_label(drawn(ref, np.array([[UNLABELLED, 2, ERASED]], np.uint8)))
    assert fold((9, 17, 23), store.labels(image_id)).classes[0, 0, :4].tolist() == [
        1,
        2,
        UNLABELLED,
        UNLABELLED,
    ]


def test_a_complete_slice_makes_its_unknown_voxels_background_and_no_others(store):
    image_id = store.add_image(ball()[0])
    store.add_label(drawn(SliceRef(image_id, 0, 2), np.ones((1, 2), np.uint8)))
    store.add_label(NewLabel(SliceRef(image_id, 0, 2), None, "c", "ann"))
    known = fold((9, 17, 23), store.labels(image_id)).known()
    assert known[2, 0, :3].tolist() == [1, 1, BACKGROUND]
    assert (known[2] != UNLABELLED).all() and (known[1] == UNLABELLED).all()


def test_object_numbers_follow_their_voxels(store):
    image_id = store.add_image(ball()[0])
    ref, box = SliceRef(image_id, 0, 0), Box(0, 0, 1, 3)
    ones = np.ones((1, 3), np.uint8)
    store.add_label(NewLabel(ref, Patch(box, ones, ones.astype(np.uint16) * 7), "a", "ann", instance=7))
    store.add_label(drawn(ref, np.array([[UNLABELLED, 2, ERASED]], np.uint8)))
    folded = fold((9, 17, 23), store.labels(image_id))
    assert folded.instances is not None and folded.instances[0, 0, :3].tolist() == [7, 0, 0]


def test_a_torn_label_file_is_reported_and_the_rest_stands(store):
    image_id = store.add_image(ball()[0])
    torn = store.add_label(drawn(SliceRef(image_id, 0, 0), np.ones((2, 2), np.uint8)))
    gone = store.add_label(drawn(SliceRef(image_id, 0, 1), np.ones((2, 2), np.uint8)))
    store.add_label(drawn(SliceRef(image_id, 0, 2), np.ones((2, 2), np.uint8)))
    torn.path.write_bytes(torn.path.read_bytes()[:-30])
    gone.path.unlink()
    folded = fold((9, 17, 23), store.labels(image_id))
    assert [p.split(":")[0] for p in folded.problems] == ["label 1 is lost", "label 2 is lost"]
    assert folded.classes[2, 0, 0] == 1 and folded.classes[0, 0, 0] == UNLABELLED


@st.composite
def events(draw) -> list[tuple[int, int, Box, list[int]]]:
    out = []
    for _ in range(draw(st.integers(1, 6))):
        axis = draw(st.integers(0, 2))
        rows, columns = (n for i, n in enumerate(SHAPE) if i != axis)
        r0, c0 = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
        box = Box(r0, c0, draw(st.integers(r0 + 1, rows)), draw(st.integers(c0 + 1, columns)))
        size = box.shape[0] * box.shape[1]
        values = draw(st.lists(st.sampled_from([0, 1, 2, ERASED, UNLABELLED]), min_size=size, max_size=size))
        out.append((axis, draw(st.integers(0, SHAPE[axis] - 1)), box, values))
    return out


def rows_of(folder, drawn_events) -> list[LabelRow]:
    rows = []
    for number, (axis, index, box, values) in enumerate(drawn_events, 1):
        path = folder / f"{uuid.uuid4().hex}.npz"
        classes = np.array(values, np.uint8).reshape(box.shape)
        objects = np.where((classes > 0) & (classes < ERASED), number, 0).astype(np.uint16)
        write_patch(path, Patch(box, classes, objects if number % 2 else None))
        rows.append(LabelRow(number, "", 1, axis, index, "patch", box, "drawn", "a", 0, {}, 0, "", path))
    return rows


def voxel_by_voxel(rows: list[LabelRow]) -> np.ndarray:
    volume = np.full(SHAPE, UNLABELLED, np.uint8)
    for row in rows:
        assert row.path is not None and row.box is not None
        classes = np.load(row.path)["classes"]
        cut = plane(volume, row.axis, row.index)
        for (r, c), value in np.ndenumerate(classes):
            if value != UNLABELLED:
                cut[row.box.r0 + r, row.box.c0 + c] = UNLABELLED if value == ERASED else value
    return volume


@settings(max_examples=60, deadline=None)
@given(drawn_events=events(), data=st.data())
def test_any_order_of_events_folds_and_refolds_to_the_same_volume(tmp_path_factory, drawn_events, data):
    rows = rows_of(tmp_path_factory.mktemp("labels"), drawn_events)
    folded = fold(SHAPE, rows)
    np.testing.assert_array_equal(folded.classes, voxel_by_voxel(rows))
    without = data.draw(st.sampled_from(rows))
    rest = [row for row in rows if row is not without]
    refold(folded, region_of(without.axis, without.index, without.box), rest)
    expected = fold(SHAPE, rest)
    np.testing.assert_array_equal(folded.classes, expected.classes)
    for number, want in ((folded.instances, expected.instances),):
        blank = np.zeros(SHAPE, np.uint16)
        np.testing.assert_array_equal(blank if number is None else number, blank if want is None else want)


@settings(max_examples=40, deadline=None)
@given(drawn_events=events())
def test_what_was_said_in_a_box_is_what_the_files_say_there(tmp_path_factory, drawn_events):
    rows = rows_of(tmp_path_factory.mktemp("labels"), drawn_events)
    heard = said(rows, SHAPE, (0, 3, 1, 4, 2, 7))
    laid = Folded(np.full(SHAPE, UNLABELLED, np.uint8))
    for row in rows:
        apply(laid, row)
    expected = laid.classes[0:3, 1:4, 2:7]
    np.testing.assert_array_equal(np.where(heard == ERASED, UNLABELLED, heard), expected)
