"""A training of days: it goes on after a kill, gives way, stops where asked; each fold leaves its images out."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from learners.final.folds import fold_count, fold_folder, fold_spec, left_out
from learners.final.progress import trained_so_far
from learners.progress import STOP_FILE
from learners.rounds import run_round
from learners.spec import GOES_ON, Lasting, RoundSpec, Unready
from learners.training import keeper, trainer
from learners.training.budget import Budget
from learners.training.checkpoint import load_network, read_card, weight_files
from learners.training.keeper import CHECKPOINT
from tests.learners.test_every_learner import HELD, volume

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    """As a power cut would have it: nothing is written any more."""


def spec_of(folder: Path, *, folds: int = 1, steps: int = 4) -> RoundSpec:
    (folder / "round").mkdir(parents=True)
    examples = tuple(volume(folder, n, known=True) for n in (1, 2, HELD, 4, 5))
    return RoundSpec(
        "final", (1,), examples, folder / "round", seconds=60, steps=steps, device="cpu", predict=(1,),
        network="unet-s", mirror=(0, 1), lasting=Lasting(folder / "work", folds),
    )  # fmt: skip


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every step of training that is taken, by its number."""
    taken: list[int] = []
    step = trainer._step

    def counting(job, state, optimiser, context):
        taken.append(context.step)
        return step(job, state, optimiser, context)

    monkeypatch.setattr(trainer, "_step", counting)
    return taken


def test_after_a_kill_it_goes_on_where_it_was_written_down(
    tmp_path: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch
):
    for every in ("SECONDS", "SLOW"):
        monkeypatch.setattr(keeper, every, 0.0)  # after every step
    spec = spec_of(tmp_path)
    update = trainer.update_ema

    def dying(*asked):
        update(*asked)
        if steps[-1] == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "update_ema", dying)
        with pytest.raises(Killed):
            run_round(spec)
    assert (fold_folder(tmp_path / "work", 0) / CHECKPOINT).is_file() and steps == [0, 1, 2]
    result = run_round(replace(spec, directory=_next_round(tmp_path)))
    assert steps == [0, 1, 2, 2, 3], "the step that was not written down is taken again"
    assert result.steps == 4 and result.dice is not None
    assert len(weight_files(read_card(result.model))) == 1
    assert not (fold_folder(tmp_path / "work", 0) / CHECKPOINT).exists()


def test_what_goes_on_has_the_weights_and_the_optimiser_of_before(tmp_path: Path, monkeypatch):
    spec = spec_of(tmp_path, steps=2)
    seen: dict[str, list[torch.Tensor]] = {}

    def remember(kept, state, optimiser, budget):
        seen.update(weights=[p.clone() for p in state.student.parameters()], moments=_moments(optimiser))

    monkeypatch.setattr(keeper.Keeper, "forget", lambda kept: None)
    keep = keeper.Keeper.keep
    monkeypatch.setattr(keeper.Keeper, "keep", lambda *asked: (remember(*asked), keep(*asked)))
    run_round(spec)
    folder = fold_folder(tmp_path / "work", 0)
    (folder / "model.json").unlink()
    before = dict(seen)
    monkeypatch.setattr(trainer, "_step", lambda *asked: 0.0)
    run_round(replace(spec, steps=3, directory=_next_round(tmp_path)))
    for name in ("weights", "moments"):
        assert all(torch.equal(a, b) for a, b in zip(before[name], seen[name], strict=True))


def test_a_stop_writes_it_down_at_once_and_the_next_round_ends_it(
    tmp_path: Path, steps: list[int], monkeypatch
):
    spec = spec_of(tmp_path)
    update = trainer.update_ema

    def stopping(*asked):
        update(*asked)
        if steps == [0, 1]:
            (spec.directory / STOP_FILE).touch()

    monkeypatch.setattr(trainer, "update_ema", stopping)
    with pytest.raises(Unready, match=f"stopped at 50%; {GOES_ON}"):
        run_round(spec)
    so_far = trained_so_far(tmp_path / "work", 1, 60)
    assert so_far.progress is not None and so_far.progress.phase == "training"
    assert run_round(replace(spec, directory=_next_round(tmp_path))).steps == 4
    assert steps == [0, 1, 2, 3]


def test_every_image_is_left_out_by_one_fold_and_what_is_held_out_by_all(tmp_path: Path):
    spec = spec_of(tmp_path, folds=3)
    out = left_out(spec)
    assert set(out) == {1, 2, 4, 5} and set(out.values()) == {0, 1, 2}
    for fold in range(3):
        mine = fold_spec(spec, fold)
        held = {e.image_id for e in mine.examples if e.all_held}
        assert held == {HELD, *(image for image, its in out.items() if its == fold)}
        assert [e.image_id for e in mine.examples if e.core and e.all_held] == [HELD]
        assert mine.seconds == 20 and mine.people_wait == spec.people_wait
    late = replace(spec, examples=(volume(tmp_path, 9, known=True), *spec.examples))
    assert {image: its for image, its in left_out(late).items() if image != 9} == out
    assert fold_count(replace(spec, examples=spec.examples[:1], lasting=Lasting(tmp_path, 5))) == 1


def test_folds_answer_together_and_a_fold_that_is_done_is_not_trained_again(tmp_path: Path, steps: list[int]):
    spec = spec_of(tmp_path, folds=2, steps=2)
    result = run_round(spec)
    assert steps == [0, 1, 0, 1] and result.steps == 4
    card = read_card(result.model)
    assert len(weight_files(card)) == 2 and card.learner == "final" and card.dice == result.dice
    again = run_round(replace(spec, directory=_next_round(tmp_path)))
    assert steps == [0, 1, 0, 1] and again.dice == result.dice
    first, second = (load_network(fold_folder(tmp_path / "work", n)) for n in (0, 1))
    assert not torch.equal(first.head.weight, second.head.weight)


def test_while_others_need_the_machine_its_clock_stands_still(tmp_path: Path):
    others = tmp_path / "others"
    others.touch()
    budget = Budget(1000)
    budget.others_run = others
    budget.start()
    threading.Timer(0.3, others.unlink).start()
    assert budget.left() and budget.spent < 0.15
    others.touch()
    (tmp_path / "stop").touch()
    stopped = Budget(1000, stop=tmp_path / "stop")
    stopped.others_run = others
    assert not stopped.left(), "a stop is heard meanwhile"


def _moments(optimiser: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [each["exp_avg"].clone() for each in optimiser.state.values()]


def _next_round(folder: Path) -> Path:
    (folder / "next").mkdir()
    return folder / "next"
