"""Patches cut on the device: the same as from the files by NumPy, from wherever they come, and nothing waits."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from learners import LEARNERS
from learners.methods import bcp
from learners.patches.cutter import PatchCutter, PatchPlace, box_map
from learners.patches.held import HeldArrays
from learners.patches.pools import FOREGROUND_SHARE, FRESH_SHARE, Pools
from learners.spec import Example, Fill, RoundSpec, WeakBox, WeakLabels
from learners.training.augment import Views, views_of
from learners.training.budget import Budget
from learners.training.data import ImageReader
from learners.training.losses import CEDice, Sample
from learners.training.plan import Plan, plan_of
from learners.training.resample import nearest
from learners.training.state import TrainingState
from learners.training.targets import Classes, trust_at
from learners.training.trainer import Gate, TrainingJob, train
from models.networks import UNet
from storage.arrays import UNLABELLED, write_npy

CLASSES = Classes((3, 7))
STORED = Classes((1, 2, 3))  # 7 is a class that the network lacks
TYPES = ("uint8", "int16", "uint16", "float32", "float64")


def volume(folder: Path, image_id: int, kind: str = "uint8", **more) -> Example:
    """Of three unequal sides with an object off the centre, every third slice labelled."""
    rng, shape = np.random.default_rng(image_id), (13, 40, 46)
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    truth = np.where((z - 5) ** 2 * 4 + (y - 15) ** 2 + (x - 22) ** 2 < 90, 3, 0).astype(np.uint8)
    truth[truth.shape[0] // 2 :, 25:30, 8:14] = 7
    pixels = (rng.integers(0, 60, shape) + 150 * (truth > 0)).astype(kind)
    known = np.full(shape, UNLABELLED, np.uint8)
    known[::3] = truth[::3]
    for name, values in (("", pixels), ("-known", known), ("-all", truth), ("-sure", truth * 30)):
        write_npy(folder / f"{image_id}{name}.npy", values)
    slices = tuple((0, i) for i in range(0, shape[0], 3))
    known_file = folder / f"{image_id}-known.npy"
    own = dict(known=known_file, slices=slices, spacing_mm=(1.0, 1.0, 1.0))
    return Example(image_id, folder / f"{image_id}.npy", shape, 1, **{**own, **more})


def planned(folder: Path, examples: list[Example]) -> Plan:
    plan = plan_of(RoundSpec("supervised", CLASSES.ids, tuple(examples), folder, device="cpu"))
    assert plan.dims == 3
    return replace(plan, bf16=False)


def readers(examples: list[Example], classes: Classes = CLASSES) -> list[ImageReader]:
    return [ImageReader(e, classes, 1) for e in examples]


def by_numpy(place: PatchPlace, plan: Plan, schedule=None) -> dict[str, np.ndarray]:
    """A patch from its file, as `ImageReader` tells it."""
    case, grid = place.case, place.grid
    at = [np.clip(np.round(p), 0, n - 1).astype(int) for p, n in zip(grid.at, case.example.shape)]
    z, y, x = ((p > -0.5) & (p < n - 0.5) for p, n in zip(grid.at, case.example.shape))
    inside = z[:, None, None] & y[:, None] & x
    looked = case.look((slice(0, 13), slice(0, 40), slice(0, 46)))
    target = case.target(grid.inner, schedule)
    near = np.ix_(*nearest(grid.at, grid.inner))
    return {
        "x": looked[:, at[0][:, None, None], at[1][:, None], at[2]],
        "y": np.where(inside, target.y[near], UNLABELLED),
        "w": np.where(inside, target.w[near], 0),
        "inside": inside,
    }


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("patch", [(8, 24, 24), (20, 48, 40)])  # within the image, and around it
@pytest.mark.parametrize(("room", "classes"), [(0, CLASSES), (10**9, STORED)])
def test_a_patch_is_what_the_files_say_held_or_not(tmp_path, kind, patch, room, classes):
    fill = Fill(tmp_path / "1-all.npy", tmp_path / "1-sure.npy", 1)
    guess = WeakLabels(tmp_path / "2-all.npy", tmp_path / "2-sure.npy")
    examples = [
        volume(tmp_path, 1, kind, fill=fill, held=((0, 3), (0, 6))),
        volume(tmp_path, 2, kind, guess=guess),
    ]
    plan = replace(planned(tmp_path, examples), patch=patch)
    cutter = PatchCutter(plan, classes, HeldArrays("cpu", room))
    pools = Pools(readers(examples, classes), classes, plan, np.random.default_rng(3))
    rng = np.random.default_rng(4)

    def schedule(rounds: int):
        return trust_at(rounds + 0.5)

    for _ in range(3):
        places = [pools.place_labelled(rng) for _ in range(4)]
        wanted = [by_numpy(place, plan, schedule) for place in places]
        found, anywhere = cutter.labelled(places, schedule), cutter.unlabelled(places)
        for name in ("x", "y", "w"):
            assert np.allclose(getattr(found, name).numpy(), [each[name] for each in wanted], atol=1e-6), name
        assert found.v is found.w and torch.equal(anywhere.x, found.x)
        assert np.array_equal(anywhere.v.numpy(), [each["inside"] for each in wanted])
        assert (anywhere.w == 0).all() and (anywhere.y == UNLABELLED).all()


def test_pictures_of_colour_and_boxes_come_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    pixels, known = rng.integers(0, 255, (1, 60, 70, 3), np.uint8), np.zeros((1, 60, 70), np.uint8)
    write_npy(tmp_path / "1.npy", pixels)
    write_npy(tmp_path / "1-known.npy", known)
    boxes = (WeakBox(0, 0, 3, (10, 20, 30, 45)),)
    known_file = tmp_path / "1-known.npy"
    picture = Example(1, tmp_path / "1.npy", (1, 60, 70), 3, None, known_file, slices=((0, 0),), boxes=boxes)
    plan = plan_of(RoundSpec("supervised", CLASSES.ids, (picture,), tmp_path, device="cpu"))
    cases = [ImageReader(picture, CLASSES, 3)]
    places = [Pools(cases, CLASSES, plan, np.random.default_rng(1)).place_labelled(np.random.default_rng(2))]
    sample = PatchCutter(plan, CLASSES, HeldArrays("cpu")).labelled(places)
    assert sample.x.shape == (1, 3, *plan.patch) and sample.y.shape == (1, *plan.patch)
    rows, columns = (np.clip(p, 0, n - 1).astype(int) for p, n in zip(places[0].grid.at[1:], (60, 70)))
    assert np.allclose(
        sample.x[0].numpy(),
        cases[0].look((slice(0, 1), slice(0, 60), slice(0, 70)))[:, 0][:, rows][..., columns],
    )
    assert np.array_equal(sample.box[0].numpy(), box_map(boxes, places[0].grid.at, CLASSES)[0])


def test_parts_that_were_read_ahead_are_what_they_would_have_been(tmp_path):
    example, held = volume(tmp_path, 1, "uint16"), HeldArrays("cpu")
    region = (slice(2, 9), slice(0, 31), slice(5, 46))
    now = held.part(example.pixels, region)
    held.ahead([(example.pixels, region)])
    assert torch.equal(held.part(example.pixels, region).float(), now.float()) and not held._ahead
    held.close()


def test_the_device_holds_what_is_drawn_again_and_no_more_than_it_has_room_for(tmp_path):
    first, second = volume(tmp_path, 1), volume(tmp_path, 2)
    held, region = HeldArrays("cpu", room=13 * 40 * 46 + 5), (slice(0, 2), slice(0, 3), slice(0, 4))
    for example, wanted in ((first, False), (second, False), (first, True), (second, False)):
        held.part(example.pixels, region)
        assert (example.pixels in held._held) is wanted


def test_draws_are_shared_out_as_ever(tmp_path):
    """A third of the new ones, two thirds around objects, the rest of them anywhere that people spoke about."""
    examples = [volume(tmp_path, 1, fresh=True), *(volume(tmp_path, n) for n in (2, 3, 4))]
    cases, n = readers(examples), 600
    pools = Pools(cases, CLASSES, planned(tmp_path, examples), np.random.default_rng(0))
    centred: Counter[int] = Counter()
    real = pools._around

    def watched(case, centre, rng):
        centred[int(np.load(tmp_path / f"{case.example.image_id}-known.npy")[tuple(centre)])] += 1
        return real(case, centre, rng)

    pools._around = watched  # type: ignore[method-assign]
    drawn = Counter(
        pools.place_labelled(np.random.default_rng([5, i])).case.example.image_id for i in range(n)
    )
    assert drawn[1] / n == pytest.approx(FRESH_SHARE + (1 - FRESH_SHARE) / 4, abs=0.06)
    objects = FOREGROUND_SHARE + (1 - FOREGROUND_SHARE) * 2 / 3  # background is one of three classes
    assert (centred[3] + centred[7]) / n == pytest.approx(objects, abs=0.05)
    assert centred[3] / n == pytest.approx(objects / 2, abs=0.06) and not centred[UNLABELLED]
    anywhere = Counter(
        pools.place_anywhere(np.random.default_rng([6, i])).case.example.image_id for i in range(n)
    )
    assert all(anywhere[i] / n == pytest.approx(0.25, abs=0.06) for i in (1, 2, 3, 4))


def test_a_weak_view_moves_what_is_there_twice_once(tmp_path):
    sample = Sample(torch.rand(4, 1, 8, 8), torch.ones(4, 8, 8).long(), w := torch.rand(4, 8, 8), w)
    for seed in range(6):
        moved = Views((0, 1), (0, 1)).weak(sample, torch.Generator().manual_seed(seed))
        assert moved.w is moved.v


NAMES = [
    n
    for n in (
        "supervised",
        "unimatch",
        "bcp",
        "stpp",
        "mean_teacher",
        "desco",
        "cross_teaching",
        "propagated",
    )
]


def job_on(device: str, folder: Path, name: str, steps: int) -> tuple[TrainingJob, TrainingState]:
    fill = Fill(folder / "1-all.npy", folder / "1-sure.npy")
    examples = [volume(folder, 1, fill=fill), *(volume(folder, n, known=None, slices=()) for n in (2, 3))]
    if name == "stpp":
        from learners.spec import Pseudo

        proposed = Pseudo(folder / "2-all.npy", folder / "2-all.npy", 1.0)
        examples[1] = replace(examples[1], pseudo=proposed)
    plan = replace(planned(folder, examples), device=device, patch=(8, 16, 24))
    recipe = LEARNERS[name].recipe()
    cutter = PatchCutter(plan, CLASSES, HeldArrays(device, 10**9))
    pools = Pools(readers(examples), CLASSES, plan, np.random.default_rng(0), cutter)
    gate = Gate(0.0, 0.0, recipe.weight, 0.2, 1.0)
    views, budget = views_of(plan, (0, 1, 2)), Budget(9e9, steps=steps)
    network = UNet(plan.network).to(device)
    state = TrainingState.fresh(network)
    if recipe.peers is not None:
        state.peers = {n: UNet(s).to(device) for n, s in recipe.peers(plan, pools).items()}
    job = TrainingJob(recipe, pools, plan, budget, views, CEDice((2,)), gate, before=4, reliable=(2,))
    return job, state


@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_device(tmp_path, name, monkeypatch):
    """On a device that computes nothing a number that somebody reads is an error. Once in ten steps the guard reads."""
    job, state = job_on("meta", tmp_path, name, 3)
    monkeypatch.setattr("learners.training.trainer.REPORT_SECONDS", 1e9)
    monkeypatch.setattr("learners.training.trainer.float", lambda x: 0.0, raising=False)
    train(job, state)
    assert job.budget.step == 3 and all(p.is_meta for p in state.student.parameters())


@pytest.mark.parametrize("name", ["supervised", "unimatch"])
def test_the_same_seed_makes_the_same_weights(tmp_path, name):
    weights = []
    for _ in "ab":
        torch.manual_seed(7)
        job, state = job_on("cpu", tmp_path, name, 3)
        train(job, state)
        weights.append(torch.cat([p.detach().flatten() for p in state.teacher.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize("shape", [(3, 20, 24), (2, 9, 12, 14)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_device_finds_the_largest_pieces_that_the_processor_finds(shape, share, monkeypatch):
    monkeypatch.setattr(bcp, "BIGGEST_SHARE", share)
    rng = np.random.default_rng(0)
    for _ in range(5):
        smooth = ndimage.gaussian_filter(rng.normal(size=shape), (0, *[1.5] * (len(shape) - 1)))
        y = torch.from_numpy((smooth > 0.02).astype(int) + (smooth > 0.15))
        assert torch.equal(bcp.pieces_by_device(y, 3), bcp.largest_pieces(y, 3))


def test_a_piece_too_winding_for_a_device_is_left_alone():
    y = torch.zeros(1, 120, 120, dtype=torch.long)
    y[0, ::2] = 1
    for row in range(1, 119, 2):
        y[0, row, 0 if row % 4 == 1 else -1] = 1
    y[0, 119, 20:24] = 1
    assert torch.equal(bcp.pieces_by_device(y, 2), y)
