"""What to label next: the cards' laws for every ranker, and how fast they are."""

import time
from dataclasses import replace

import numpy as np
import pytest

from learners.cluster import k_means, rbf, typicality
from learners.objects.tallies import SIZE_BINS, tallies
from learners.rankers import RANKERS, rank
from learners.rankers.batch_selection import expected_seconds
from learners.rankers.contract import RankRequest
from learners.rankers.pool import Pool, empty_pool, join, read_pool, write_pool
from learners.rankers.uncertainty import power_noise
from storage.arrays import TornFile


def pool_of(count: int, *, slices: int = 1, seed: int = 0, groups: int = 6) -> Pool:
    """`count` images of `groups` kinds, or volumes of so many slices in plane 0."""
    rng = np.random.default_rng(seed)
    n = count * slices
    kinds = rng.normal(size=(groups, 16)) * 3
    image = np.repeat(np.arange(1, count + 1), slices)
    features = (kinds[image % groups] + rng.normal(size=(n, 16)) * 0.3).astype(np.float16)
    numbers = [rng.random(n).astype(np.float32) for _ in range(6)]
    return Pool(
        refs=np.stack([image, np.zeros(n, np.int64), np.tile(np.arange(slices), count)], 1),
        entropy=numbers[0] * 100,
        doubt=numbers[1] * 100,
        per_class=rng.random((n, 2)).astype(np.float32) * 50,
        foreground=np.where(rng.random(n) < 0.5, numbers[2], 0).astype(np.float32),
        contour=numbers[3] * 200,
        information=numbers[5] * 10,
        stability=numbers[4],
        expected=np.full(n, 0.7, np.float32),
        unsure=np.floor(numbers[3] * 20),
        sizes=np.floor(rng.random((n, SIZE_BINS)) * 5).astype(np.float32),
        features=features,
    )


@pytest.mark.parametrize("name", RANKERS)
def test_every_ranker_gives_as_many_as_asked_each_with_a_reason_and_never_what_is_labelled(name):
    pool = pool_of(60)
    labelled = frozenset({(7, 0, 0), (8, 0, 0)})
    ask = RankRequest(
        10, labelled=labelled, skipped=frozenset({(9, 0, 0)}), labelled_images=frozenset({7, 8})
    )
    picks = rank(name, pool, ask)
    assert len(picks) == 10 and len({p.image for p in picks}) == 10
    assert not {7, 8, 9} & {p.image for p in picks} and all(p.why for p in picks)
    assert picks == rank(name, pool, ask)
    assert rank(name, empty_pool(), ask) == []


@pytest.mark.parametrize("name", RANKERS)
def test_slices_of_a_volume_that_lie_together_are_not_asked_together(name):
    picks = rank(name, pool_of(3, slices=60), RankRequest(12))
    assert len(picks) > 3
    for a in picks:
        near = [b for b in picks if b.image == a.image and b != a and abs(b.index - a.index) <= 4]
        assert not near
    assert max(sum(p.image == i for p in picks) for i in (1, 2, 3)) <= 8


@pytest.mark.parametrize("name", RANKERS)
def test_ten_times_the_images_take_about_ten_times_as_long_to_rank(name):
    """A square of the images would be a hundred times; `benchmarks.rerank` tells the seconds."""
    assert _ranking(name, 10_000) < 40 * max(_ranking(name, 1_000), 0.005)


def _ranking(name: str, images: int) -> float:
    """Seconds of processor for the better of two runs."""
    pool, found = pool_of(images), []
    for _ in range(2):
        started = time.process_time()
        assert len(rank(name, pool, RankRequest(20, labelled_images=frozenset(range(1, 50))))) == 20
        found.append(time.process_time() - started)
    return min(found)


def test_uncertain_images_come_first():
    pool = pool_of(50)
    best = pool.refs[np.argmax(pool.entropy), 0]
    assert rank("entropy", pool, RankRequest(5))[0].image == best
    assert rank("margin", pool, RankRequest(5))[0].image == pool.refs[np.argmax(pool.doubt), 0]
    assert rank("stability", pool, RankRequest(5))[0].image == pool.refs[np.argmin(pool.stability), 0]


def test_clasp_divides_its_places_over_classes_and_gets_sharper_with_the_rounds():
    assert [round(RankRequest(loop=i).beta, 2) for i in range(5)] == [1, 3.16, 10, 31.62, 100]
    pool = pool_of(300)
    columns = (pool.entropy, *pool.per_class.T)
    best = {int(pool.refs[np.argmax(column), 0]) for column in columns}
    for column in columns:
        column[np.argmax(column)] *= 3
    first = {p.image for p in rank("clasp", pool, RankRequest(9, loop=9))}
    assert best <= first
    early = [{p.image for p in rank("clasp", pool, RankRequest(9, loop=0, seed=s))} for s in range(2)]
    assert early[0] != early[1]


def test_power_noise_draws_in_proportion_and_never_what_is_zero():
    rng = np.random.default_rng(0)
    value = np.array([1.0, 2.0, 0.0, 5.0])
    first = [int(np.argmax(power_noise(value, 1.0, rng))) for _ in range(4000)]
    shares = np.bincount(first, minlength=4) / 4000
    assert shares == pytest.approx([1 / 8, 2 / 8, 0, 5 / 8], abs=0.03)
    assert np.argmax(power_noise(value, 1e6, rng)) == 3 and power_noise(value, 1.0, rng)[2] == 0


def test_foreground_aware_random_prefers_what_holds_something():
    pool = pool_of(400)
    picks = rank("foreground", pool, RankRequest(100))
    has = {int(r[0]) for r, f in zip(pool.refs, pool.foreground) if f > 0}
    assert np.mean([p.image in has for p in picks]) > 0.55


@pytest.mark.parametrize("name", ["typiclust", "coverage", "examine"])
def test_the_first_queries_reach_every_kind_of_image_and_copies_are_asked_once(name):
    rng = np.random.default_rng(1)
    pool = pool_of(120)
    kinds = {p.image % 6 for p in rank(name, pool, RankRequest(6))}
    assert len(kinds) >= 5
    copied = replace(pool, features=np.repeat(pool.features[rng.integers(0, 120, 1)], 120, 0))
    assert len(rank(name, copied, RankRequest(6))) >= 1


def test_coverage_goes_where_nothing_is_labelled():
    pool = pool_of(120)
    labelled = frozenset(i for i in range(1, 121) if i % 6 in (0, 1, 2, 3))
    refs = frozenset((i, 0, 0) for i in labelled)
    picks = rank("coverage", pool, RankRequest(2, labelled=refs, labelled_images=labelled))
    assert {p.image % 6 for p in picks} == {4, 5}


def test_the_order_of_the_pool_does_not_matter_to_uncertainty():
    pool = pool_of(80)
    shuffled = pool.of(np.random.default_rng(3).permutation(80))
    assert [p.image for p in rank("entropy", pool, RankRequest(10))] == [
        p.image for p in rank("entropy", shuffled, RankRequest(10))
    ]


def test_dear_items_fall_when_the_value_is_divided_by_seconds():
    pool = pool_of(50)
    dear = int(np.argmax(pool.entropy))
    pool.contour[dear] = 1e5
    assert expected_seconds(pool)[dear] > 1000
    assert rank("entropy", pool, RankRequest(3, per_second=True))[0].image != pool.refs[dear, 0]


def test_whole_images_are_asked_once_each():
    picks = rank("entropy", pool_of(5, slices=30), RankRequest(9, whole_images=True))
    assert sorted(p.image for p in picks) == [1, 2, 3, 4, 5]


def test_an_unknown_ranker_is_refused_in_words():
    with pytest.raises(LookupError, match="there is no ranker 'best'; there are: clasp"):
        rank("best", pool_of(3), RankRequest())


def test_groups_are_found_and_the_middle_of_a_group_is_typical():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(c, 0.1, (30, 4)) for c in (0, 5, 9)]).astype(np.float32)
    group = k_means(rows, 3, rng)
    assert [len(set(group[i : i + 30])) for i in (0, 30, 60)] == [1, 1, 1] and len(set(group)) == 3
    line = np.linspace(-1, 1, 21, dtype=np.float32)[:, None]
    assert abs(int(np.argmax(typicality(line))) - 10) <= 5
    assert np.allclose(np.diag(rbf(rows, rows)), 1, atol=1e-3)


def test_newer_rows_of_an_image_replace_older_ones_and_a_torn_pool_is_told(tmp_path):
    old, new = pool_of(5), pool_of(2, seed=9)
    both = join([old, new])
    assert len(both) == 5 and np.allclose(
        np.sort(both.entropy[np.isin(both.refs[:, 0], (1, 2))]), np.sort(new.entropy)
    )
    write_pool(tmp_path / "pool.npz", both)
    assert np.array_equal(read_pool(tmp_path / "pool.npz").refs, both.refs)
    (tmp_path / "pool.npz").write_bytes((tmp_path / "pool.npz").read_bytes()[:100])
    with pytest.raises(TornFile):
        read_pool(tmp_path / "pool.npz")


def test_objects_that_are_unsure_of_missing_sizes_or_unlike_the_labelled_ones_come_first_and_the_reason_says_so():
    pool = pool_of(40, groups=1)
    plain = np.zeros((40, SIZE_BINS), np.float32)
    plain[:, 6] = 10
    plain[4, 6], plain[4, 11] = 0, 10  # image 5 holds sizes that nobody labelled
    unsure, features = np.zeros(40, np.float32), np.array(pool.features)
    unsure[11] = 7  # image 12
    features[20] = -8 * features[20]  # image 21
    pool = replace(pool, unsure=unsure, sizes=plain, features=features)
    ask = RankRequest(
        3, labelled_images=frozenset({1, 2, 3}), labelled=frozenset((i, 0, 0) for i in (1, 2, 3))
    )
    said = {pick.image: pick.why for pick in rank("by_objects", pool, ask)}
    assert said == {
        12: "7 of 10 objects are uncertain",
        5: "its objects are of sizes that labelled images hardly have",
        21: "it looks unlike the images labelled so far",
    }


def test_objects_are_told_to_rankers_by_their_size_and_by_what_a_tenth_of_them_says():
    classes, sure = np.zeros((1, 20, 40), np.uint8), np.full((1, 20, 40), 250, np.uint8)
    classes[0, 2:10, 2:10], classes[0, 2:6, 20:24] = 1, 2  # of 64 and of 16 pixels
    sure[0, 2, 2:10] = 100  # an eighth of the first
    sure[0, 2, 20] = 100  # a sixteenth of the second
    told = tallies(classes, sure, None)
    assert told.unsure[0].tolist() == [1] and np.flatnonzero(told.sizes[0][0]).tolist() == [4, 6]
    volume = tallies(
        np.repeat(classes, 3, 0), np.repeat(sure, 3, 0), np.repeat(classes, 3, 0).astype(np.uint16)
    )
    assert volume.unsure[0].tolist() == [1, 1, 1] and volume.unsure[2][2:10].tolist() == [1] * 8
