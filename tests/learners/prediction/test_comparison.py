"""Better by more than noise, on the same images alone."""

from learners.prediction.comparison import compare

ONES = {1: 0.50, 2: 0.61, 3: 0.40, 4: 0.72, 5: 0.55, 6: 0.66}


def moved(by: dict[int, float]) -> dict[int, float]:
    return {image: ONES[image] + change for image, change in by.items()}


def test_only_images_that_both_were_judged_on_count():
    assert compare({1: 0.9}, {2: 0.1}) is None
    found = compare({**moved({1: 0.2, 2: 0.2}), 9: 0.0}, {**ONES, 8: 1.0})
    assert found is not None and found.images == 2
    assert round(found.mine - found.other, 6) == 0.2


def test_an_advantage_on_every_image_is_more_than_noise():
    found = compare(moved(dict.fromkeys(ONES, 0.05)), ONES)
    assert found is not None and found.better
    back = compare(ONES, moved(dict.fromkeys(ONES, 0.05)))
    assert back is not None and not back.better


def test_an_advantage_that_one_image_makes_is_noise():
    found = compare(moved({1: 0.4, 2: -0.05, 3: 0.02, 4: -0.06, 5: 0.01, 6: -0.02}), ONES)
    assert found is not None and found.mine > found.other and not found.better


def test_with_one_or_two_images_the_advantage_must_be_large_on_each():
    for gains, better in (({1: 0.05}, False), ({1: 0.2}, True), ({1: 0.3, 2: 0.02}, False)):
        found = compare(moved(gains), ONES)
        assert found is not None and found.better is better


def test_a_hundredth_is_worth_no_change_however_certain():
    found = compare(moved(dict.fromkeys(ONES, 0.005)), ONES)
    assert found is not None and not found.better
