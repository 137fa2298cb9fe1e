"""The simulated annotator of the prompt benchmark clicks as the protocol says, and the table reads."""

import numpy as np
import pytest

from benchmarks.baselines import BASELINES
from benchmarks.clicks import box_of, dice, iou, next_click, scribbles_of
from benchmarks.prompt import QUICK, Row, measure, table
from benchmarks.prompt_cases import Case
from models import PROMPT_MODELS
from models.prompt import Prompts


@pytest.fixture
def case() -> Case:
    rows, columns = np.indices((41, 67))
    truth = (rows - 18) ** 2 + (columns - 40) ** 2 <= 11**2
    grey = np.where(truth, 190, 60) + np.random.default_rng(0).normal(0, 5, truth.shape)
    return Case("disc", np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2), truth)


def test_the_first_click_is_the_deepest_point_of_the_object(case):
    prompts = next_click(Prompts(), np.zeros_like(case.truth), case.truth, None)
    assert prompts.points_rc == ((18.0, 40.0),) and prompts.labels == (1,)


def test_the_next_click_goes_where_the_mask_is_most_wrong(case):
    mask = case.truth.copy()
    mask[30:, :20] = True
    prompts = next_click(Prompts(), mask, case.truth, None)
    (row, column), label = prompts.points_rc[0], prompts.labels[0]
    assert label == 0 and row > 30 and column < 20


def test_a_place_is_not_clicked_twice(case):
    prompts = Prompts()
    for _ in range(5):
        prompts = next_click(prompts, np.zeros_like(case.truth), case.truth, None)
    assert len(set(prompts.points_rc)) == 5


def test_sampled_clicks_lie_in_the_error_and_depend_on_the_seed(case):
    empty = np.zeros_like(case.truth)
    places = {
        next_click(Prompts(), empty, case.truth, np.random.default_rng(s)).points_rc[0] for s in range(6)
    }
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


def test_overlap_of_nothing_with_nothing_is_whole():
    nothing = np.zeros((3, 5), bool)
    assert iou(nothing, nothing) == dice(nothing, nothing) == 1


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_finds_a_plain_disc_from_its_box(name, case):
    model = BASELINES[name]()
    assert iou(model.predict(model.encode(case.image), box_of(case.truth)).mask, case.truth) > 0.8


def test_every_metric_of_a_model_is_in_the_table(case):
    rows = measure("discs", "graphcut", PROMPT_MODELS["graphcut"].factory(None), [case], QUICK, 0)
    values = {row.metric: row.value for row in rows}
    assert values["iou@1"] > 0.8 and values["noc85"] == 1 and values["failed85"] == 0 and values["box"] > 0.8
    text = table([*rows, Row("other", "graphcut", "iou@1", 0.5, 1, 0, 1.0)])
    assert "mean of sets" in text and "cpu-ms first" in text
