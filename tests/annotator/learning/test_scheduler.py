"""The learning loop as a person meets it: labels in, rounds, proposals, and every way in which it can go wrong."""

import threading
import time
import uuid
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from annotator.learning.label_queue import LabelQueue
from annotator.learning.round_inputs import RoundInputs
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings
from annotator.web.api_learning import make_router
from learners import LEARNERS
from learners.engines import ProcessExecutor, SerialExecutor
from learners.prediction.evaluation import Evaluation
from learners.rounds import train as torch_loaded_once  # noqa: F401  so that no test's clock pays for it
from learners.spec import RoundSpec
from storage.arrays import SliceRef
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn
from tests.support.asgi_client import small_app, small_workflow

QUICK = LearnSettings(learners=("supervised",), seconds=1, settle_seconds=0, steps=2, device="cpu")
SHAPE = (1, 33, 39)


def add_images(store: Store, count: int) -> list[int]:
    return [store.add_image(ball((9, 33, 39), seed=seed)[0]) for seed in range(count)]


def label(store: Store, image_id: int, index: int = 4) -> None:
    ref = SliceRef(image_id, 0, index)
    truth = ball((9, 33, 39))[1][index]
    rows, columns = np.nonzero(truth) if truth.any() else ([0], [0])
    r0, r1, c0, c1 = min(rows), max(rows) + 1, min(columns), max(columns) + 1
    store.add_label(drawn(ref, truth[r0:r1, c0:c1], at=(int(r0), int(c0))))
    store.add_label(NewLabel(ref, None, uuid.uuid4().hex, "ann"))


class GatedExecutor(Executor):
    """Runs the real round in a thread, but only once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.submitted: list[RoundSpec] = []
        self._threads = ThreadPoolExecutor(1)

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.submitted.append(args[0])
        return self._threads.submit(self._run, fn, *args)

    def _run(self, fn, spec):
        assert self.gate.wait(30)
        return fn(spec)

    def shutdown(self, wait=True, *, cancel_futures=False) -> None:
        self.gate.set()
        self._threads.shutdown(wait)


class Dying(SerialExecutor):
    """Its worker dies the first few times, as the memory killer would have it."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.smaller: list[int] = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.smaller.append(args[0].smaller)
        if len(self.smaller) <= self.deaths:
            future: Future = Future()
            future.set_exception(BrokenProcessPool("a process died"))
            return future
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def project(store):
    store.add_class("one")
    ids = add_images(store, 2)
    return store, ids


def scheduler_of(store, executor=None, settings=QUICK, told=None):
    tell = (lambda m: None) if told is None else told.append
    return Scheduler(store, executor or SerialExecutor(), settings=settings, publish=tell)


def test_nothing_runs_before_somebody_labelled_something(project):
    store, _ = project
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(5)
    (status,) = scheduler.status()
    assert status["state"] == "waiting" and "Label a slice" in status["message"]
    assert scheduler.rounds.newest("supervised") is None


def test_a_label_starts_a_round_that_proposes_masks_for_every_image(project):
    store, ids = project
    label(store, ids[0])
    told: list = []
    scheduler = scheduler_of(store, told=told)
    scheduler.run_until_idle(30)
    row = scheduler.rounds.newest("supervised")
    assert row.status == "done" and row.seen_label == store.newest_label() and row.metrics["steps"] == 2
    for image_id in ids:
        proposal = store.predictions.newest(image_id)
        assert (proposal.producer, proposal.kind, proposal.round_id) == ("supervised", "predicted", row.id)
        assert proposal.classes().shape == (9, 33, 39) and set(np.unique(proposal.classes())) <= {0, 1}
        assert proposal.confidence().min() >= 127
    assert [m["image"] for m in told if m["t"] == "proposal"] == ids
    assert {r for r in scheduler.pool().refs[:, 0]} == set(ids)
    assert not scheduler.reconcile()


def test_labels_that_arrive_during_a_round_start_exactly_one_more(project):
    store, ids = project
    engine = GatedExecutor()
    scheduler = scheduler_of(store, engine)
    label(store, ids[0])
    scheduler.reconcile()
    for index in (2, 3, 5):
        label(store, ids[0], index)
        scheduler.reconcile()
    assert len(engine.submitted) == 1
    engine.gate.set()
    scheduler.run_until_idle(30)
    assert len(engine.submitted) == 2
    rows = scheduler.rounds.of("supervised")
    assert [r.seen_label for r in rows] == [2, 8] and {r.status for r in rows} == {"done"}
    assert engine.submitted[1].parent == scheduler.rounds.folder(rows[0].id)
    engine.shutdown()


def test_the_model_that_a_waiting_round_starts_from_stays_while_its_own_learner_replaces_it(project):
    store, ids = project
    engine = GatedExecutor()
    scheduler = scheduler_of(store, engine, replace(QUICK, learners=("weak",)))
    label(store, ids[0])
    scheduler.reconcile()
    engine.gate.set()
    scheduler.run_until_idle(30)
    engine.gate.clear()
    label(store, ids[1])
    scheduler.change(learners=("weak", "supervised"))
    scheduler.reconcile()
    first = scheduler.rounds.folder(1)
    assert [spec.parent for spec in engine.submitted[1:]] == [first, first]
    engine.gate.set()
    scheduler.run_until_idle(30)
    assert scheduler.rounds.newest("supervised").status == "done"
    engine.shutdown()


def test_rounds_go_on_from_one_that_came_out_worse_but_not_for_ever(project, monkeypatch):
    monkeypatch.setattr(Evaluation, "worse_than", lambda self, other: other is not None)
    store, ids = project
    engine = GatedExecutor()
    engine.gate.set()
    scheduler = scheduler_of(store, engine)
    for index in range(2, 8):
        label(store, ids[0], index)
        scheduler.run_until_idle(30)
    first, *later = (scheduler.rounds.folder(n) for n in range(1, 7))
    assert [spec.parent for spec in engine.submitted] == [None, *[first] * 5]
    assert [spec.start for spec in engine.submitted] == [None, None, later[0], later[1], None, later[3]]
    assert scheduler.rounds.model("supervised") == first
    engine.shutdown()


def test_undo_is_news_too(project):
    store, ids = project
    label(store, ids[0])
    label(store, ids[1])
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    store.revoke(store.labels(ids[1])[-1].client_id, client_id="undo", author="ann")
    scheduler.run_until_idle(30)
    assert [r.seen_label for r in scheduler.rounds.of("supervised")] == [4, 5]


def test_a_round_that_fails_says_why_and_is_not_tried_again_until_something_changes(project, caplog):
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(
        store, settings=LearnSettings(("supervised",), seconds=1, settle_seconds=0, network="big")
    )
    scheduler.run_until_idle(30)
    (status,) = scheduler.status()
    assert status["state"] == "failed" and "there is no network 'big'" in status["message"]
    told = [record for record in caplog.records if "round 1 of supervised ended" in record.getMessage()]
    assert len(told) == 1 and not told[0].exc_info, "a reason for people is one line of the log"
    assert len(scheduler.rounds.of("supervised")) == 1
    scheduler.change(network="auto", steps=2)
    scheduler.update_now("supervised")
    scheduler.run_until_idle(30)
    assert scheduler.status()[0]["state"] == "idle"


def test_a_dead_worker_costs_one_try_and_the_next_is_smaller(project):
    store, ids = project
    label(store, ids[0])
    engine = Dying(1)
    scheduler = scheduler_of(store, engine)
    scheduler.run_until_idle(30)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["lost", "done"]
    assert engine.smaller == [0, 1]


def test_a_worker_that_always_dies_ends_in_words_and_not_in_a_loop(project):
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(store, Dying(99))
    scheduler.run_until_idle(30)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["lost", "lost", "failed"]
    assert "the worker died 3 times" in scheduler.status()[0]["message"]
    assert store.newest_label() == 2


def test_a_paused_learner_rests_until_it_is_resumed_and_remembers_it(project):
    store, ids = project
    scheduler = scheduler_of(store)
    scheduler.pause("supervised")
    label(store, ids[0])
    scheduler.run_until_idle(30)
    assert scheduler.status()[0]["state"] == "paused" and not scheduler.rounds.of("supervised")
    assert Scheduler(store, SerialExecutor()).settings.paused == ("supervised",)
    scheduler.resume("supervised")
    scheduler.run_until_idle(30)
    assert scheduler.status()[0]["state"] == "idle"


def test_update_now_runs_one_round_although_nothing_is_new(project):
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    scheduler.update_now("supervised")
    scheduler.run_until_idle(30)
    assert len(scheduler.rounds.of("supervised")) == 2


def test_training_goes_on_for_a_while_on_the_same_labels_and_then_rests(project):
    store, ids = project
    label(store, ids[0])
    settings = LearnSettings(("supervised",), seconds=1, settle_seconds=4, device="cpu")
    scheduler = scheduler_of(store, settings=settings)
    scheduler.run_until_idle(60)
    spent = [r.metrics["seconds"] for r in scheduler.rounds.of("supervised") if r.kind == "train"]
    assert len(spent) > 1 and sum(spent) > 3 and not scheduler.reconcile()


def test_stop_ends_training_and_keeps_what_was_learned(project):
    store, ids = project
    label(store, ids[0])
    settings = LearnSettings(("supervised",), seconds=600, settle_seconds=0, device="cpu")
    engine = GatedExecutor()
    engine.gate.set()
    scheduler = scheduler_of(store, engine, settings)
    scheduler.reconcile()
    until = time.monotonic() + 30
    while not scheduler.status()[0].get("step") and time.monotonic() < until:
        time.sleep(0.05)
    assert scheduler.status()[0]["phase"] == "training" and scheduler.status()[0]["seconds_left"] > 500
    scheduler.stop("supervised")
    scheduler.run_until_idle(30)
    assert scheduler.rounds.newest("supervised").status == "done"
    assert store.predictions.newest(ids[0]) is not None
    engine.shutdown()


def test_images_that_did_not_fit_into_a_round_are_predicted_afterwards_the_open_one_first(project):
    store, ids = project
    add_images_later = store.add_image(ball((9, 33, 39), seed=7)[0])
    label(store, ids[0])
    settings = LearnSettings(("supervised",), seconds=1, settle_seconds=0, steps=1, predict_seconds=0)
    scheduler = scheduler_of(store, settings=settings)
    scheduler.look(add_images_later)
    scheduler.reconcile()
    scheduler.run_until_idle(30)
    rows = scheduler.rounds.of("supervised")
    assert [r.kind for r in rows] == ["train", "predict", "predict"]
    assert store.predictions.newest(add_images_later).round_id == rows[0].id
    assert all(store.predictions.newest(i) for i in ids)
    assert scheduler.rounds.model("supervised") == scheduler.rounds.folder(rows[0].id)


def test_a_restart_while_a_round_runs_loses_the_round_and_nothing_else(tmp_path):
    store = Store(tmp_path / "p")
    store.add_class("one")
    ids = add_images(store, 1)
    label(store, ids[0])
    engine = GatedExecutor()
    scheduler_of(store, engine).reconcile()
    store.close()
    store = Store(tmp_path / "p")
    scheduler = scheduler_of(store)
    assert scheduler.rounds.newest("supervised").status == "lost"
    scheduler.run_until_idle(30)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["lost", "done"]
    assert len(store.labels(ids[0])) == 2
    store.close()


def test_how_much_people_changed_a_proposal_is_noted_once(project):
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    label(store, ids[1])
    scheduler.run_until_idle(30)
    label(store, ids[1], 3)
    scheduler.run_until_idle(30)
    noted = scheduler.rounds.corrections("supervised")
    assert [c.image_id for c in noted] == [ids[1], ids[1]] and all(0 <= c.dice <= 1 for c in noted)
    assert [h["slices"] for h in scheduler.history("supervised")] == [1, 2, 3]


@pytest.mark.slow
def test_a_worker_process_that_is_killed_in_mid_round_is_replaced(project):
    store, ids = project
    label(store, ids[0])
    engine = ProcessExecutor(threads=1)
    settings = LearnSettings(("supervised",), seconds=60, settle_seconds=0, device="cpu")
    scheduler = scheduler_of(store, engine, settings)
    scheduler.reconcile()
    until = time.monotonic() + 60
    while not scheduler.status()[0].get("step") and time.monotonic() < until:
        time.sleep(0.1)
    for process in list(engine._pool._processes.values()):
        process.kill()
    scheduler.change(seconds=1, steps=2)
    scheduler.run_until_idle(60)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["lost", "done"]
    engine.kill()


def test_the_first_queue_shows_every_kind_of_image_and_later_ones_leave_out_what_is_done(project):
    store, ids = project
    queue = LabelQueue(scheduler_of(store))
    first = queue.next(4)
    assert first["ranker"] == "typiclust" and {i["image"] for i in first["items"]} <= set(ids)
    assert all(item["why"] and item["name"].startswith("ball") for item in first["items"])
    label(store, ids[0])
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    queue = LabelQueue(scheduler)
    later = queue.next(50)
    assert later["ranker"] == "foreground"
    places = {(i["image"], i["axis"], i["index"]) for i in later["items"]}
    assert (ids[0], 0, 4) not in places and {axis for _, axis, _ in places} > {0}
    skipped = next(iter(places))
    queue.skip(skipped)
    assert skipped not in {(i["image"], i["axis"], i["index"]) for i in queue.next(50)["items"]}
    queue.skip(skipped, on=False)
    queue.choose("random")
    assert queue.next(3)["ranker"] == "random"
    with pytest.raises(LookupError, match="there is no ranker 'best'"):
        queue.choose("best")


def test_the_routes_say_what_runs_and_take_orders(project, tmp_path):
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(store)
    api = FastAPI()
    with small_workflow(tmp_path / "server") as workflow:  # who may end a final model
        api.include_router(make_router(small_app(workflow).context, scheduler))
        take_orders(TestClient(api), scheduler)


def take_orders(client, scheduler):
    overview = client.get("/api/learn").json()
    assert {entry["name"] for entry in overview["learners"]} == set(LEARNERS)
    assert overview["choice"]["why"] and overview["rounds"][0]["state"] == "waiting"
    assert client.post("/api/learn/supervised/pause").status_code == 200
    assert client.get("/api/learn").json()["rounds"][0]["state"] == "paused"
    client.post("/api/learn/supervised/resume")
    assert client.post("/api/learn/settings", json={"seconds": 2.0}).json()["settings"]["seconds"] == 2
    assert client.post("/api/learn/settings", json={"seconds": 0}).status_code == 422
    scheduler.run_until_idle(30)
    assert len(client.get("/api/learn/supervised/history").json()["rounds"]) == 1
    item = client.get("/api/queue", params={"count": 1}).json()["items"][0]
    place = {key: item[key] for key in ("image", "axis", "index")}
    assert client.post("/api/queue/skip", json=place).status_code == 200
    assert client.post("/api/queue/ranker", json={"name": "entropy"}).status_code == 200
    assert client.get("/api/queue").json()["ranker"] == "entropy"


def test_with_objects_alone_nothing_is_trained_and_a_sentence_says_what_to_do(project):
    store, ids = project
    scheduler = scheduler_of(store, settings=replace(QUICK, learners=("weak",)))
    store.add_label(drawn(SliceRef(ids[0], 0, 4), np.ones((4, 5), np.uint8), at=(9, 7)))
    scheduler.run_until_idle(30)
    (status,) = scheduler.status()
    assert status["state"] == "waiting" and "Mark one slice complete" in status["message"]
    assert store.predictions.newest(ids[1]) is None, (
        "a model of objects alone would call everything an object"
    )
    store.add_label(drawn(SliceRef(ids[0], 0, 4), np.zeros((3, 3), np.uint8), at=(20, 20)))
    scheduler.run_until_idle(30)
    assert scheduler.rounds.newest("weak").status == "done"
    assert store.predictions.newest(ids[1]) is not None


def test_background_on_a_held_out_slice_alone_teaches_nothing(project):
    store, ids = project
    store.add_label(drawn(SliceRef(ids[0], 0, 4), np.ones((4, 5), np.uint8), at=(9, 7)))
    store.add_label(NewLabel(SliceRef(ids[0], 0, 5), None, uuid.uuid4().hex, "ann"))
    inputs = RoundInputs(store, store.rounds)
    assert inputs.build("supervised", 0).negatives
    store.rounds.hold_out(ids[0], 0, 5)
    assert not inputs.build("supervised", 0).negatives
    assert inputs.build("atlas", 0).negatives, "what is no network proposes only what resembles the objects"
