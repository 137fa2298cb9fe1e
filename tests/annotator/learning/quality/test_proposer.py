"""Who proposes: nobody takes over for being new, and the page says why in numbers of the same images."""

import json

import pytest

from annotator.learning.quality.model_quality import model_quality
from annotator.learning.quality.proposer import Proposer, proposer_of, quality_words
from learners.choice import Choice
from storage.judging import JudgedRow
from storage.rounds import Finished
from storage.store import Store
from tests.conftest import ball

RULE = Choice("propagated", "few slices are complete")


@pytest.fixture
def project(store: Store) -> Store:
    """Atlases propose; four images judge."""
    for seed in range(5):
        store.add_image(ball(seed=seed)[0])
    store.rounds.sweep()
    for image in range(1, 5):
        store.rounds.hold_out(image)
    store.judging.add_core(1, {(image, 0, 4) for image in range(1, 5)}, "digest")
    judge(store, "atlas", (0.5, 0.6, 0.55, 0.59))
    assert not Proposer("atlas", "the volumes look alike").keep(store)
    return store


def judge(store: Store, learner: str, dice: tuple[float, ...], core: int | None = 1) -> int:
    row = store.rounds.start(learner, 0, core=core)
    rows = [JudgedRow(image, value, 0.9, True) for image, value in enumerate(dice, start=1)]
    store.judging.add_judged(row.id, rows)
    mean = sum(dice) / len(dice)
    store.rounds.finish(row.id, Finished(row.id, mean, mean, None, {"per_class": {"1": mean}}))
    return row.id


def test_the_first_learner_is_the_one_that_the_rule_names(store: Store) -> None:
    assert proposer_of(store, RULE) == Proposer("propagated", RULE.why)


def test_one_that_was_never_judged_is_tried_beside_the_one_that_proposes(project: Store) -> None:
    found = proposer_of(project, RULE)
    assert (found.learner, found.challenger) == ("atlas", "propagated")
    assert "is tried beside it" in found.why


def test_one_that_is_worse_does_not_take_over_and_the_page_says_why(project: Store) -> None:
    judge(project, "propagated", (0.3, 0.35, 0.33, 0.34))
    found = proposer_of(project, RULE)
    assert found.learner == "atlas" and found.challenger == "propagated"
    assert found.why == "it stays: Dice 0.56 against 0.33 on the same 4 images, by Slices and their fills"


def test_one_that_is_better_by_luck_does_not_take_over(project: Store) -> None:
    judge(project, "propagated", (0.9, 0.55, 0.56, 0.57))
    assert proposer_of(project, RULE).learner == "atlas"


def test_one_that_is_better_beyond_noise_takes_over_and_stays(project: Store) -> None:
    judge(project, "propagated", (0.7, 0.79, 0.77, 0.81))
    found = proposer_of(project, RULE)
    assert (found.learner, found.challenger) == ("propagated", None)
    assert "took over from Atlases: Dice 0.77 against 0.56 on the same 4 images" in found.why
    assert found.keep(project) and not found.keep(project)
    again = proposer_of(project, RULE)
    assert again.learner == "propagated" and again.why == found.why
    back = proposer_of(project, Choice("atlas", "the volumes look alike"))
    assert back.learner == "propagated", "the rule alone moves nobody"


def test_numbers_of_other_held_out_labels_are_not_compared(project: Store) -> None:
    judge(project, "propagated", (0.9, 0.9, 0.9, 0.9), core=None)
    assert proposer_of(project, RULE).learner == "atlas"
    project.judging.add_core(2, {(image, 0, 4) for image in range(1, 6)}, "other")
    judge(project, "propagated", (0.9, 0.9, 0.9, 0.9), core=2)
    assert proposer_of(project, RULE).learner == "atlas", "the one that proposes was not judged by these yet"


def test_where_nothing_is_held_out_or_the_proposer_fails_the_rule_decides(
    project: Store, store: Store
) -> None:
    store.rounds.fail(store.rounds.start("atlas", 5).id, "no volume is labelled")
    assert proposer_of(project, RULE).learner == "propagated"


def test_a_setting_that_makes_no_sense_is_as_none(project: Store) -> None:
    for odd in ("atlas", json.dumps(["atlas"]), json.dumps({"learner": "best"})):
        project.set_setting("proposer", odd)
        assert proposer_of(project, RULE).learner == "propagated"


def test_how_good_it_is_is_one_number_with_the_images_it_comes_from(project: Store) -> None:
    quality = model_quality(project, "atlas")
    assert quality is not None and (quality.images, quality.core) == (4, 1)
    assert quality_words(project, "atlas") == "Dice 0.56 on 4 held-out images."
    row = project.rounds.start("weak", 0, core=1)
    project.judging.add_judged(row.id, [JudgedRow(1, 0.8, 0.9, True)])
    project.rounds.finish(row.id, Finished(row.id, 0.8, 0.8, None, {}))
    assert (
        quality_words(project, "weak") == "Dice 0.80 on 1 held-out image; so few say little about new ones."
    )
    assert model_quality(project, "supervised") is None
    assert quality_words(project, "supervised").endswith("nobody knows yet; the next round may tell.")


def test_where_the_held_out_labels_say_nothing_of_a_learner_the_page_says_what_to_do(project: Store) -> None:
    """As of an atlas, while its only volume would judge itself."""
    row = project.rounds.start("propagated", 0, core=1)
    project.rounds.finish(row.id, Finished(row.id, None, None, None, {}))
    assert model_quality(project, "propagated") is None
    words = quality_words(project, "propagated")
    assert words.endswith("nobody knows yet; label a slice of another image.")
