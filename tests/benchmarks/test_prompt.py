"""The simulated annotator of the prompt benchmark clicks as the protocol says, and the table reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.baselines import BASELINES
from benchmarks.clicks import box_of, corrected_scribbles, dice, iou, next_click, scribbles_of
from benchmarks.common import DATA, Row
from benchmarks.prompt import QUICK, WEIGHTS, PromptTask, measure
from benchmarks.prompt_cases import SETS, Draw, PromptCase, read_volume, slices_of
from benchmarks.prompt_table import markdown, table
from models import PROMPT_MODELS
from models.clicknet_training.sources import VAL_BLOCKS
from models.prompt import Prompts

VOLUMES = {
    "brain-aseg": list((DATA / "brain-aseg" / "images").glob("*.nii.gz")),
    "ct-torso": [DATA / "dicom-samples" / "ct-torso-3mm" / "ct.nii.gz"],
    "spinal-cord": list((DATA / "spinal-cord" / "images").glob("t2*.nii.gz")),
}


@pytest.fixture
def case() -> PromptCase:
    rows, columns = np.indices((41, 67))
    truth = (rows - 18) ** 2 + (columns - 40) ** 2 <= 11**2
    grey = np.where(truth, 190, 60) + np.random.default_rng(0).normal(0, 5, truth.shape)
    return PromptCase("disc", np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2), truth)


def test_the_first_click_is_the_deepest_point_of_the_object(case):
    prompts = next_click(Prompts(), np.zeros_like(case.truth), case)
    assert prompts.points_rc == ((18.0, 40.0),) and prompts.labels == (1,)


def test_the_next_click_goes_where_the_mask_is_most_wrong(case):
    mask = case.truth.copy()
    mask[30:, :20] = True
    prompts = next_click(Prompts(), mask, case)
    (row, column), label = prompts.points_rc[0], prompts.labels[0]
    assert label == 0 and row > 30 and column < 20


def test_a_place_is_not_clicked_twice(case):
    prompts = Prompts()
    for _ in range(5):
        prompts = next_click(prompts, np.zeros_like(case.truth), case)
    assert len(set(prompts.points_rc)) == 5


def test_sampled_clicks_lie_in_the_error_and_depend_on_the_seed(case):
    empty = np.zeros_like(case.truth)
    places = {next_click(Prompts(), empty, case, np.random.default_rng(s)).points_rc[0] for s in range(6)}
    assert len(places) > 3 and all(case.truth[int(r), int(c)] for r, c in places)


def test_the_box_is_tight_and_strokes_keep_to_their_side(case):
    r0, c0, r1, c1 = (int(v) for v in box_of(case.truth).box or ())
    assert (
        case.truth[r0:r1, c0:c1].sum() == case.truth.sum()
        and case.truth[r0].any()
        and case.truth[:, c1 - 1].any()
    )
    for stroke in scribbles_of(case.truth, np.random.default_rng(2)).scribbles:
        assert {bool(case.truth[round(r), round(c)]) for r, c in stroke.points_rc} == {bool(stroke.label)}


def test_nobody_clicks_where_nothing_is_wrong(case):
    assert next_click(Prompts(), case.truth, case) is None


def test_equally_deep_errors_give_a_negative_click_and_the_first_in_raster_order():
    truth, mask = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    truth[2:5, 2:5] = truth[2:5, 20:23] = mask[12:15, 3:6] = mask[12:15, 20:23] = True
    prompts = next_click(Prompts(), mask, PromptCase("tie", np.zeros((20, 30, 3), np.uint8), truth))
    assert prompts.labels == (0,) and prompts.points_rc == ((13.0, 4.0),)
    missed = next_click(Prompts(), mask & False, PromptCase("tie", np.zeros((20, 30, 3), np.uint8), truth))
    assert missed.labels == (1,) and missed.points_rc == ((3.0, 3.0),)


def test_what_is_to_be_ignored_is_neither_clicked_nor_counted(case):
    ignore = np.zeros_like(case.truth)
    ignore[:, :20] = True
    mask = case.truth | ignore
    assert next_click(Prompts(), mask, replace(case, ignore=ignore)) is None
    assert iou(mask, replace(case, ignore=ignore)) == 1 > iou(mask, case)


def test_a_further_stroke_lies_in_the_larger_error(case):
    mask = case.truth.copy()
    mask[:, :25] = True
    stroke = corrected_scribbles(Prompts(), mask, case, np.random.default_rng(1)).scribbles[-1]
    assert stroke.label == 0 and all(c < 25 for _, c in stroke.points_rc)


def test_overlap_of_nothing_with_nothing_is_whole():
    nothing = PromptCase("nothing", np.zeros((3, 5, 3), np.uint8), np.zeros((3, 5), bool))
    assert iou(nothing.truth, nothing) == dice(nothing.truth, nothing) == 1


def test_training_and_validation_slices_of_a_scan_do_not_meet():
    train, val = set(slices_of(117, "train")), set(slices_of(117, "val"))
    assert not train & val and train | val == set(range(117))
    assert {10 * index // 117 for index in val} == set(VAL_BLOCKS)


@pytest.mark.skipif(not DATA.is_dir(), reason="the development data is not here")
@pytest.mark.parametrize("name", ["brain-aseg", "ct-torso", "spinal-cord"])
def test_objects_of_a_single_scan_come_from_slices_that_training_kept_back(name):
    cases = SETS[name](Draw(DATA, "val", 9, 5))
    assert len(cases) >= 6 and len({case.name for case in cases}) == len(cases)
    for case in cases:
        file, axis, place = case.name.split(":")
        scan = next(read_volume(path) for path in map(Path, VOLUMES[name]) if path.stem == file)
        assert 10 * int(place.split("#")[0]) // scan.shape[int(axis)] in VAL_BLOCKS


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_finds_a_plain_disc_from_its_box(name, case):
    model = BASELINES[name]()
    assert iou(model.predict(model.encode(case.image), box_of(case.truth)).mask, case) > 0.8


def test_every_metric_of_a_model_is_in_the_table(case):
    task = PromptTask("discs", "graphcut", 0, QUICK)
    rows = measure(task, PROMPT_MODELS["graphcut"].factory(None), [case])
    values = {row.metric: row.value for row in rows}
    assert values["iou@1"] > 0.8 and values["noc85"] == 1 and values["failed85"] == 0 and values["box"] > 0.8
    assert values["worst@1"] <= values["sampled@1"]
    text = table([*rows, Row("other", "graphcut", "iou@1", 0.5, 1, 0, 1.0)])
    assert "mean of sets" in text and "cpu-ms first" in text


def test_the_table_for_a_document_says_mean_and_spread_over_seeds():
    rows = [Row("discs", "ours", "iou@1", value, 4, seed) for seed, value in enumerate((0.6, 0.8))]
    rows.append(Row("512x512", "ours", "ms first", 41.4))
    text = markdown(rows)
    assert "| discs | ours | 0.700 ± 0.100 |" in text and "| 512x512 | ours | 41 |" in text


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the yardstick's weights are not here")
@pytest.mark.thorough
def test_the_yardstick_finds_what_stands_out_in_a_photograph():
    from benchmarks.tracer import TracerYardstick

    model, found = TracerYardstick(WEIGHTS), []
    for one in SETS["coco-cc"](Draw(DATA, "train", 8, 0)):
        embedding = model.encode(one.image)
        found.append(iou(model.predict(embedding, box_of(one.truth)).mask, one))
        mask = model.predict(embedding, next_click(Prompts(), np.zeros_like(one.truth), one)).masks
        assert mask.shape[1:] == one.truth.shape
    assert np.median(found) > 0.6
