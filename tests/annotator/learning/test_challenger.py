"""A learner that is tried beside the one that proposes: silent, compared on the same images, and moved up by facts."""

import pytest

from annotator.learning.scheduler import Scheduler
from learners.choice import Choice
from learners.engines import SerialExecutor
from learners.prediction.sensible import Sense
from storage.judging import JudgedRow
from storage.rounds import Finished
from storage.store import Store
from tests.annotator.learning.test_scheduler import QUICK, add_images, label, replace


@pytest.fixture
def project(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Six images, four of them labelled, so that one judges. What is proposed after two steps makes no sense; here it
    is shown all the same."""
    monkeypatch.setattr(Sense, "against", lambda *_: None)
    store.add_class("one")
    for image_id in add_images(store, 6)[:4]:
        label(store, image_id)
    return store


def scheduler_of(store: Store, candidate: str) -> Scheduler:
    """The app chooses, and the labels speak for this learner."""
    scheduler = Scheduler(store, SerialExecutor(), settings=replace(QUICK, learners=()))
    scheduler.choice = lambda: Choice(candidate, "so say the labels")  # type: ignore[method-assign]
    return scheduler


def proposers(store: Store) -> set[str]:
    rows = [store.predictions.of(image.id) for image in store.images(limit=-1)[1]]
    return {row.producer for each in rows for row in each}


def test_it_proposes_nothing_until_it_is_better_on_the_same_images(project: Store) -> None:
    scheduler_of(project, "supervised").run_until_idle(60)
    assert proposers(project) == {"supervised"}
    scheduler = scheduler_of(project, "bcp")
    scheduler.run_until_idle(60)
    tried = project.rounds.newest("bcp", "done")
    assert tried is not None and scheduler.active == ("supervised",)
    assert proposers(project) == {"supervised"}, "it is compared, and shown to nobody"
    assert "against" in scheduler.proposer().why and "on the same 1 image" in scheduler.proposer().why
    core = project.judging.core()
    assert core is not None and tried.core == core.id
    (image, *_) = next(iter(core.places))
    better = project.rounds.start("bcp", tried.seen_label, core=core.id)
    project.judging.add_judged(better.id, [JudgedRow(image, 1.0, 0.9, True)])
    project.rounds.finish(better.id, Finished(tried.id, 1.0, 1.0, None))
    scheduler.run_until_idle(60)
    assert scheduler.active == ("bcp",) and proposers(project) == {"supervised", "bcp"}
    newest = project.predictions.newest(5)
    assert newest is not None and newest.producer == "bcp", "it proposes for every image at once"
    assert "took over from Supervised" in scheduler.proposer().why


def test_an_undo_does_not_run_the_curve_backwards(project: Store) -> None:
    scheduler = scheduler_of(project, "supervised")
    scheduler.run_until_idle(60)
    label(project, 5)
    scheduler.run_until_idle(60)
    for row in project.labels(5)[::-1]:
        project.revoke(row.client_id, client_id=f"undo {row.id}", author="ann")
    scheduler.run_until_idle(60)
    told = scheduler.history("supervised")
    slices, minutes = ([each[name] for each in told] for name in ("slices", "minutes"))
    assert slices == [4, 5, 5] and minutes == sorted(minutes)
    assert {each["core"] for each in told} == {told[0]["core"]} and told[0]["judged_by"] == 1
