"""Places where small objects may be, from what a model thinks of a picture."""

import numpy as np

from learners.prediction.places import places


def hills(*at: tuple[int, int, float], side: int = 10) -> np.ndarray:
    rows, columns = np.indices((90, 140))
    out = np.zeros((90, 140), np.float32)
    for row, column, height in at:
        far = ((rows - row) ** 2 + (columns - column) ** 2) / (side / 2) ** 2
        out = np.maximum(out, height * np.exp(-far))
    return out


def test_the_likeliest_place_comes_first_and_its_box_holds_the_object():
    found = places(hills((20, 30, 0.4), (60, 100, 0.9)), side=10, most=12)
    assert len(found) == 2
    assert [p.likely for p in found] == sorted((p.likely for p in found), reverse=True)
    r0, c0, r1, c1 = found[0].box
    assert r0 < 56 and r1 > 64 and c0 < 96 and c1 > 104
    assert r1 - r0 < 30 and c1 - c0 < 30


def test_no_more_places_than_asked_for_and_none_where_nothing_is_likely():
    many = hills(*((15 + 30 * (n // 4), 15 + 35 * (n % 4), 0.3 + 0.05 * n) for n in range(8)))
    assert len(places(many, side=10, most=3)) == 3
    assert places(np.zeros((40, 50), np.float32), side=10, most=12) == ()
    assert places(np.full((40, 50), 0.005, np.float32), side=10, most=12) == ()


def test_boxes_stay_inside_the_picture():
    (place,) = places(hills((1, 138, 0.9)), side=10, most=12)
    r0, c0, r1, c1 = place.box
    assert 0 <= r0 < r1 <= 90 and 0 <= c0 < c1 <= 140


def test_a_plateau_is_one_place():
    flat = np.zeros((60, 60), np.float32)
    flat[20:40, 20:40] = 1
    assert len(places(flat, side=12, most=12)) == 1
