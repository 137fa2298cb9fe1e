"""Slices are said to be frames in time, and fills, numbers and measurements follow objects from frame to frame."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import app
from annotator.labels.label_cache import LabelCache
from annotator.labels.object_acts import ObjectActs
from annotator.labels.repair import Repair
from annotator.protocol.incoming import ObjectsMessage
from learners.objects.frames import number_frames
from storage.arrays import UNLABELLED, Box, Patch, SliceRef
from storage.formats import grid_of_image
from storage.formats.grid import shows_moments
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.annotator.filling.test_numbered_fills import SHAPE, Bench
from tests.support.asgi_client import small_app, small_workflow, visit
from tests.support.labelled_projects import exported


def is_film(store: Store, image_id: int = 1) -> bool:
    return shows_moments(store.image(image_id).geometry)


def crossing() -> np.ndarray:
    """(4, 24, 40) 1 where two discs are: the left one comes to where the right one was a frame before."""
    y, x = np.ogrid[:24, :40]
    frames = [
        ((y - 12) ** 2 + (x - 8 - 4 * k) ** 2 <= 16) | ((y - 12) ** 2 + (x - 18 - 4 * k) ** 2 <= 16)
        for k in range(4)
    ]
    return np.stack(frames).astype(np.uint8)


def test_it_is_said_undone_and_said_again_and_a_new_spacing_leaves_it(store: Store):
    store.add_image(Scan("v", np.zeros((4, 6, 8), np.uint8), None, None))
    mend = Repair(store, LabelCache(store))
    said = mend.set_frames("ann", [1], True)
    assert is_film(store) and "frames in time" in said.message and said.unfilled == {1}
    film = store.acts.newest(1)[0].id
    mend.set_spacing("ann", 1, (1.0, 0.5, 0.5))
    spacing = store.acts.newest(1)[0].id
    assert is_film(store) and store.image(1).spacing_mm == (1.0, 0.5, 0.5)
    mend.undo("ann", film)
    assert not is_film(store) and store.image(1).spacing_mm == (1.0, 0.5, 0.5)
    mend.redo("ann", film)
    mend.undo("ann", spacing)
    assert is_film(store) and store.image(1).spacing_mm is None
    row = store.image(1)
    assert grid_of_image(row.geometry, row.shape, row.spacing_mm).display_shape == row.shape
    mend.set_frames("ann", [1], False)
    assert not is_film(store)


def test_pictures_are_left_out_and_what_is_said_already_is_told(store: Store):
    store.add_image(Scan("picture", np.zeros((1, 6, 8), np.uint8), None, None))
    store.add_image(Scan("stack", np.zeros((4, 6, 8), np.uint8), None, None))
    mend = Repair(store, LabelCache(store))
    with pytest.raises(ValueError, match="picture has one slice alone"):
        mend.set_frames("ann", [1], True)
    mend.set_frames("ann", [1, 2], True)
    assert is_film(store, 2) and not is_film(store, 1)
    with pytest.raises(ValueError, match="stack already"):
        mend.set_frames("ann", [2], True)


def test_frames_are_not_turned_into_depth(store: Store):
    store.add_image(Scan("v", np.zeros((4, 6, 8), np.uint8), (1.0, 1.0, 1.0), None))
    mend = Repair(store, LabelCache(store))
    mend.set_frames("ann", [1], True)
    with pytest.raises(ValueError, match="say first that they are depth"):
        mend.set_orientation("ann", 1, ("A", "S", "L"))
    mend.set_orientation("ann", 1, ("S", "A", "L"))
    [now] = store.images(limit=-1)[1]
    assert shows_moments(now.geometry), "its rows ran the other way, its frames stay"


def test_a_fill_is_made_anew_and_its_object_divides(store: Store):
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    whole = (y - 15) ** 2 + (x - 24) ** 2 <= 81
    both = ((y - 15) ** 2 + (x - 17) ** 2 <= 30) + 2 * ((y - 15) ** 2 + (x - 32) ** 2 <= 30)
    bench = Bench(store, np.stack([whole] * 4 + [both] * 3).astype(np.uint16), film=False)
    bench.label(3, bench.truth[3])
    bench.label(4, np.where(both > 0, both + 6, 0))
    assert not bench.filled().parents()
    Repair(store, bench.folds).set_frames("ann", [bench.image], True)
    assert store.predictions.newest(bench.image, "random_walker") is None
    bench.fills.refresh(bench.image)
    assert bench.filled().parents() == {7: 1, 8: 1}
    bench.fills.close()


def test_objects_that_take_one_anothers_place_are_numbered_apart():
    classes = crossing()
    assert ndimage.label(classes, np.ones((3, 3, 3)))[1] == 1, "as a volume they hang together"
    film = number_frames(classes, (1, 1, 1), first=5)
    for k in range(4):
        assert film[k, 12, 8 + 4 * k] == 5 and film[k, 12, 18 + 4 * k] == 6
    assert set(np.unique(film)) == {0, 5, 6}


def test_all_objects_of_a_film_are_numbered_and_measured_frame_by_frame(store: Store, tmp_path: Path):
    store.add_class("cell")
    classes = crossing()
    store.add_image(Scan("film", classes * 100, None, None))
    for k, plane in enumerate(classes):
        said = np.where(plane > 0, plane, np.uint8(UNLABELLED))
        store.add_label(NewLabel(SliceRef(1, 0, k), Patch(Box(0, 0, *plane.shape), said), f"frame{k}", "ann"))
    folds = LabelCache(store)
    Repair(store, folds).set_frames("ann", [1], True)
    about = {"t": "objects", "id": "number", "image": 1, "axis": 0, "index": 0, "base_rev": 99}
    ObjectActs(store, folds).take(
        "ann", ObjectsMessage.model_validate({**about, "do": "number", "value": 1, "at": ()})
    )
    with open(exported(store, tmp_path / "out", "measurements") / "measurements/measurements.csv") as file:
        table = list(csv.DictReader(file))
    assert [(row["object"], row["frame"]) for row in table] == [(n, f"{k}") for n in "12" for k in range(4)]
    assert [float(row["centre_x"]) for row in table[:4]] == [8, 12, 16, 20]
    assert {row["area_px"] for row in table} == {str(int(classes[0, :, :13].sum()))}
    with open(tmp_path / "out/measurements/measurements_by_class.csv") as file:
        [row] = csv.DictReader(file)
    assert row["objects"] == "2"


def test_it_is_said_over_http_and_on_the_command_line(tmp_path: Path):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow)) as client:
        assert client.get("/api/images/1").json()["frames"] is False
        answer = client.post("/api/images/frames", json={"images": [1], "frames": True})
        assert answer.status_code == 200 and "frames in time" in answer.json()["message"]
        assert client.get("/api/images/1").json()["frames"] is True
        name = client.get("/api/images").json()["items"][0]["name"]
    words = ["repair", "frames", name, "--depth", "--project", str(tmp_path / "project")]
    assert app.main(words) == 0
    with_store = Store(tmp_path / "project")
    assert not is_film(with_store)
    with_store.close()
