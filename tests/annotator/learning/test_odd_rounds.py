"""Rounds beside odd images, and across the end of the app: neither fails a learner."""

# ruff: noqa: F401, F811  (a fixture is imported, then named as an argument)

import numpy as np

from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from annotator.learning.label_queue import LabelQueue
from storage.scan import Scan
from storage.store import Store
from tests.annotator.learning.test_scheduler import (
    GatedExecutor,
    add_images,
    label,
    project,
    scheduler_of,
)

SMALL = ((8, 8), (1, 40), (40, 1), (1, 1))


def test_closing_the_app_during_a_round_is_no_death_of_it_however_often(tmp_path):
    store = Store(tmp_path / "p")
    store.add_class("one")
    label(store, add_images(store, 1)[0])
    for _ in range(4):
        scheduler_of(store, GatedExecutor()).reconcile()
        assert store.rounds.newest("supervised").status == "running"
        store.close()
        store = Store(tmp_path / "p")
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["lost"] * 4 + ["done"]
    store.close()


def test_images_too_small_for_a_network_fail_no_round(project):
    store, ids = project
    label(store, ids[0])
    odd = [
        store.add_image(Scan(f"{h} x {w}", np.full((1, h, w), 90, np.uint8), None, None)) for h, w in SMALL
    ]
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    assert [r.status for r in scheduler.rounds.of("supervised")] == ["done"]
    for image_id, shape in zip(odd, SMALL, strict=True):
        found = store.predictions.newest(image_id, "supervised")
        assert found is not None and found.classes().shape == (1, *shape)


def test_a_deleted_image_is_not_asked_for(project):
    store, ids = project
    label(store, ids[0])
    scheduler = scheduler_of(store)
    scheduler.run_until_idle(30)
    Repair(store, LabelCache(store)).delete("ann", [ids[1]])
    asked = {item["image"] for item in LabelQueue(scheduler).next(500)["items"]}
    assert asked and ids[1] not in asked
