"""The examples: made volumes and pictures whose truth is known, and what installed packages carry."""

from pathlib import Path

import numpy as np
import pytest

from annotator.exchange.examples import EXAMPLES, cells, fill_example, phantoms
from annotator.exchange.examples.five_steps import five_steps
from annotator.exchange.examples.gallery import CARRIED, CLASSES, gallery_scans, torso
from annotator.jobs import Job
from annotator.learning.project_summary import volumes_look_alike
from annotator.learning.settings import EXPORTED
from storage.arrays import Box, Patch, SliceRef
from storage.predictions import NewPrediction
from storage.rows import NewLabel
from storage.store import Store
from tests.annotator.web.test_routes import wait_for
from tests.support.asgi_client import small_app, small_workflow, visit


def test_the_torso_is_the_same_every_time_and_its_truth_fits():
    scan, truth = torso()
    again, _ = torso()
    assert np.array_equal(scan.pixels, again.pixels)
    assert truth.shape == scan.shape and len(set(scan.spacing_mm or ())) == 2
    assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))
    assert sorted(np.unique(truth)) == [0, 1, 2, 3] and len(CLASSES) >= 3
    organ, lesion = scan.pixels[truth == 1], scan.pixels[truth == 3]
    assert lesion.mean() < organ.mean() - 50


def test_every_scan_of_the_gallery_is_in_the_packages_that_are_installed():
    scans = list(gallery_scans())
    assert len(scans) == len(CARRIED) + 1 == EXAMPLES["gallery"].count
    assert len({scan.name for scan in scans}) == len(scans)
    assert scans[0].name == "phantom torso" and sum(scan.shape[0] > 1 for scan in scans) >= 2
    assert all(scan.source == "" for scan in scans)


def test_no_two_phantoms_are_alike_and_each_has_its_organ_in_the_middle_slice():
    made = [phantoms.phantom(number) for number in range(1, phantoms.COUNT + 1)]
    assert np.array_equal(made[3][0].pixels, phantoms.phantom(4)[0].pixels), "the same every time"
    assert len({scan.shape for scan, _ in made}) == phantoms.COUNT
    organs = [truth > 0 for _, truth in made]
    sizes = [organ.sum() for organ in organs]
    assert max(sizes) > 1.5 * min(sizes)
    contrasts = [float(s.pixels[o].mean() - s.pixels[~o].mean()) for (s, _), o in zip(made, organs)]
    assert min(contrasts) > 40 and max(contrasts) > 1.7 * min(contrasts)
    assert {bool((truth == 2).any()) for _, truth in made} == {True, False}
    assert all(organ[organ.shape[0] // 2].sum() > 300 for organ in organs)


def test_cells_differ_in_number_and_brightness():
    made = [cells.cell_picture(number) for number in range(1, cells.COUNT + 1)]
    counts = {int(owners.max()) for _, owners in made}
    assert len(counts) > 4 and min(counts) >= 15
    means = [float(scan.pixels.mean()) for scan, _ in made]
    assert min(means) < 60 and max(means) > 150, "bright on dark, and dark on bright"


@pytest.mark.parametrize("name", ["demo", "cells"])
def test_filling_twice_changes_nothing(store: Store, name: str):
    assert len(fill_example(store, name, Job("import"))) == EXAMPLES[name].count
    before = store.images()[0], [row.name for row in store.classes()]
    assert fill_example(store, name, Job("import")) == set()
    assert before == (store.images()[0], [row.name for row in store.classes()])
    assert [title for title, _ in EXAMPLES[name].classes] == before[1]


def test_the_steps_are_ticked_from_what_is_in_the_project(store: Store):
    assert five_steps(store) is None
    fill_example(store, "demo", Job("import"))
    rows = store.images(limit=-1)[1]
    assert not volumes_look_alike(tuple(row.path for row in rows)), "so that a network learns"

    def done() -> list[bool]:
        told = five_steps(store)
        assert told is not None
        return list(told["done"])

    def say(image: int, source: str) -> None:
        patch = Patch(Box(0, 0, 2, 2), np.ones((2, 2), np.uint8))
        store.add_label(NewLabel(SliceRef(image, 0, 9), patch, source, "ann", source=source))

    assert done() == [False] * 5
    for index in (8, 9):
        store.add_label(NewLabel(SliceRef(1, 0, index), None, str(index), "ann"))
    assert done() == [True, *[False] * 4]
    array = np.ones(rows[1].shape, np.uint8)
    store.predictions.add(NewPrediction(2, "propagated", "predicted", 0, array, array, 1, None))
    assert done() == [True, True, False, False, False]
    say(2, "refined")
    say(2, "accepted")
    store.set_setting(EXPORTED, "propagated")
    assert done() == [True] * 5
    store.revoke("accepted", client_id="u", author="ann")
    assert done() == [True, True, True, False, True]


def test_the_page_adds_examples_to_a_project(tmp_path: Path):
    with small_workflow(tmp_path) as workflow, visit(app := small_app(workflow)) as client:
        assert client.get("/api/steps").json() is None
        assert client.post("/api/examples/nothing").status_code == 404
        said = wait_for(client, app, client.post("/api/examples/cells").json()["job"])
        assert said["state"] == "done" and said["message"] == "Cells: 10 pictures added"
        assert client.get("/api/project").json()["images_total"] == 1 + cells.COUNT
