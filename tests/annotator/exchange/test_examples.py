"""The demo: real pictures from installed packages, and a phantom whose truth is known."""

import numpy as np

from annotator.exchange.demo_project import CARRIED, CLASSES, demo_scans, fill_demo, phantom
from annotator.jobs import Job
from storage.store import Store


def test_the_phantom_is_the_same_every_time_and_its_truth_fits():
    scan, truth = phantom()
    again, _ = phantom()
    assert np.array_equal(scan.pixels, again.pixels)
    assert truth.shape == scan.shape and len(set(scan.spacing_mm or ())) == 2
    assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))
    assert sorted(np.unique(truth)) == [0, 1, 2, 3] and len(CLASSES) >= 3
    organ, lesion = scan.pixels[truth == 1], scan.pixels[truth == 3]
    assert lesion.mean() < organ.mean() - 50


def test_every_scan_of_the_demo_is_in_the_packages_that_are_installed():
    scans = list(demo_scans())
    assert len(scans) == len(CARRIED) + 1
    assert len({scan.name for scan in scans}) == len(scans)
    assert scans[0].name == "phantom torso" and sum(scan.shape[0] > 1 for scan in scans) >= 2
    assert all(scan.source == "" for scan in scans)


def test_filling_the_demo_twice_changes_nothing(store: Store):
    fill_demo(store, Job("import"))
    before = store.images()[0], [row.name for row in store.classes()]
    fill_demo(store, Job("import"))
    assert before == (store.images()[0], [row.name for row in store.classes()])
    assert [name for name, _ in CLASSES] == before[1]
