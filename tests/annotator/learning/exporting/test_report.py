"""The card and the report of an exported model: true numbers, pictures, nothing from elsewhere."""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest

from annotator.cli.data import run_status
from annotator.learning import model_export
from annotator.learning.exported.program import main
from annotator.learning.model_export import export_model
from annotator.learning.quality.core_set import todays_core
from annotator.learning.quality.model_quality import model_quality
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings
from learners.engines import SerialExecutor
from learners.prediction.surface import hausdorff95, surface_distances
from storage import formats
from storage.arrays import SliceRef
from storage.formats.grid import grid_of_image
from storage.formats.nifti import write_labels
from storage.scan import Scan
from storage.store import Store
from tests.annotator.learning.test_model_export import trained
from tests.conftest import ball, drawn

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (9, 17, 23)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory):
    """A model of volumes, judged by one that is known wholly and one of which two slices are known."""
    folder = tmp_path_factory.mktemp("report")
    store = Store(folder / "project")
    rounds = trained(store, 3)
    for number in range(3):
        scan, truth = ball(SHAPE, seed=number)
        image = store.add_image(Scan(f"<b>{number}</b>", scan.pixels, scan.spacing_mm, scan.marks))
        for index in range(SHAPE[0]) if number != 1 else (3, 4):
            store.add_label(drawn(SliceRef(image, 0, index), truth[index]))
        if number > 0:
            rounds.hold_out(image)
    todays_core(store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model_export, "write_onnx", lambda *asked: (None, "left out"))
        export_model(store, rounds, "supervised", folder / "model")
    yield store, folder / "model"
    store.close()


def own_mask(store: Store, model: Path, image_id: int, folder: Path) -> np.ndarray:
    """By predict.py, of a file with the image's pixels."""
    image = store.image(image_id)
    grid = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    write_labels(folder / "scan.nii.gz", np.array(store.pixels(image_id)), grid)
    assert main([str(folder / "scan.nii.gz"), str(folder / "out"), "--device", "cpu"], model) == 0
    return formats.read_labels(folder / "out" / "scan.nii.gz")[0]


def test_the_numbers_of_cases_are_those_of_the_models_own_masks_and_the_card_has_the_apps(
    exported, tmp_path: Path
):
    store, model = exported
    card = json.loads((model / "model.json").read_text())
    page = (model / "report.html").read_text(encoding="utf-8")
    for image_id, known in ((2, (3, 4)), (3, range(SHAPE[0]))):
        (tmp_path / str(image_id)).mkdir()
        mask, truth = own_mask(store, model, image_id, tmp_path / str(image_id)), ball(SHAPE)[1]
        a, b = mask[list(known)] == 1, truth[list(known)] == 1
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        row = rf'&lt;b&gt;{image_id - 1}&lt;/b&gt;</td><td>cell</td><td class="number">{dice:.3f}<'
        assert re.search(row, page), (image_id, dice)
    (first, second) = card["held_out"]["per_class"]
    assert first["name"] == "cell" and first["hausdorff95_mm_median"] > 0
    assert second["hausdorff95_mm_median"] is None
    assert card["held_out"]["images"] == 2 and card["held_out"]["left_out"] == 0
    quality = model_quality(store, "supervised")
    assert quality is not None and card["held_out_dice"] == quality.dice
    assert {str(c): d for c, d in quality.per_class.items()} == card["per_class"]
    assert f"Held-out Dice {quality.dice:.3f}" in page


def test_card_report_status_and_learn_tab_score_objects_alike(exported, capsys: pytest.CaptureFixture[str]):
    store, model = exported
    told = json.loads((model / "model.json").read_text())["held_out"]["objects"]
    assert told.keys() == {"1"} and told["1"]["average_precision"]["0.50"] == 0.7273
    words = "cell: AP 0.73 at IoU 0.5 and 0.31 over all limits, PQ 0.67, F1 0.84."
    assert words in (model / "report.html").read_text(encoding="utf-8")
    assert run_status(argparse.Namespace(project=store.root, json=False)) == 0
    assert f"supervised: {words}" in capsys.readouterr().out
    scheduler = Scheduler(store, SerialExecutor(), settings=LearnSettings(learners=("supervised",)))
    (status,) = [each for each in scheduler.status() if each["learner"] == "supervised"]
    assert status["objects"][0].startswith(words)


def test_the_card_says_what_it_learned_from_and_where_it_ends(exported):
    card = json.loads((exported[1] / "model.json").read_text())
    data = card["training_data"]
    assert data["shape_zyx"] is None or data["shape_zyx"]["most"] == list(SHAPE)
    assert "cell, wall" in card["intended_use"] and "medical device" in card["intended_use"]
    assert any("Only 2 images judged it" in line for line in card["limits"])


def test_the_report_shows_every_case_with_pictures_and_needs_no_network(exported):
    page = (exported[1] / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 2 and "<polyline" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page) and "<script" not in page
    assert "<b>1</b>" not in page and "&lt;b&gt;1&lt;/b&gt;" in page
    assert "in slices" in page and re.search(r"\d\.\d\d mm<", page)


def test_the_distance_of_surfaces_is_in_millimetres_and_of_the_worse_direction():
    a = np.zeros((20, 20), bool)
    a[5:10, 5:10] = True
    moved = np.roll(a, 3, 0)
    between = surface_distances(a, moved, (2.0, 1.0))
    assert between is not None and hausdorff95([between]) == pytest.approx(6.0)
    speck = a.copy()
    speck[18, 18] = True
    near = surface_distances(a, speck, (1.0, 1.0))
    assert near is not None and near[0].max() == 0 and near[1].max() == pytest.approx(np.hypot(9, 9))
    assert surface_distances(a, np.zeros_like(a), (1.0, 1.0)) is None and hausdorff95([]) is None
