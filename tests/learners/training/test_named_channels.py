"""Networks of named channels see each for itself, do without what is missing, and others are as they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from learners.patches.cutter import PatchCutter
from learners.patches.held import HeldArrays
from learners.patches.pools import Pools
from learners.spec import Example, NamedChannel, RoundSpec
from learners.training.data import ImageReader, open_readers
from learners.training.plan import plan_of
from learners.training.targets import Classes
from models.networks import NetworkSpec, UNet, without_some_channels
from storage.arrays import write_npy

CLASSES = Classes((1,))
SHAPE = (1, 40, 52)
WHOLE = (slice(0, 1), slice(0, 40), slice(0, 52))


def example(folder: Path, number: int, **values: np.ndarray) -> Example:
    """Whose picture is dark; channels by their names."""
    write_npy(folder / f"{number}.npy", np.zeros((*SHAPE, 3), np.uint8))
    named = []
    for name, one in values.items():
        named.append(NamedChannel(name, folder / f"{number}-{name}.npy"))
        write_npy(named[-1].pixels, one)
    write_npy(folder / f"{number}-known.npy", np.ones(SHAPE, np.uint8))
    known = folder / f"{number}-known.npy"
    return Example(number, folder / f"{number}.npy", SHAPE, 3, None, known, named=tuple(named))


def noise(seed: int, low: int, high: int, kind: str) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, SHAPE).astype(kind)


def two(folder: Path) -> tuple[Example, Example]:
    whole = example(folder, 1, dna=noise(1, 0, 90, "uint8"), actin=noise(2, 9000, 60000, "uint16"))
    return whole, example(folder, 2, actin=noise(3, -5, 5, "float32"))


def test_each_channel_is_normalised_for_itself_and_a_missing_one_is_dark(tmp_path: Path):
    whole, lacking = two(tmp_path)
    seen = ImageReader(whole, CLASSES, 2, ("dna", "actin")).look(WHOLE)
    assert seen.shape == (2, *SHAPE) and abs(seen.mean((1, 2, 3)) - 0.5).max() < 0.05
    seen = ImageReader(lacking, CLASSES, 2, ("dna", "actin")).look(WHOLE)
    assert (seen[0] == 0).all() and 0.4 < seen[1].mean() < 0.6
    write_npy(tmp_path / "grey.npy", noise(4, 0, 100, "uint8"))
    grey = ImageReader(Example(3, tmp_path / "grey.npy", SHAPE, 1, None), CLASSES, 2, ("dna", "actin"))
    assert (grey.look(WHOLE)[0] == grey.look(WHOLE)[1]).all() and grey.look(WHOLE).std() > 0.2
    assert (ImageReader(whole, CLASSES, 3).look(WHOLE) == 0).all()  # others see the picture
    unknown = ImageReader(whole, CLASSES, 2, ("a", "b")).look(WHOLE)
    assert unknown.shape == (2, *SHAPE) and (unknown == 0).all()


def test_a_plan_names_the_channels_of_all_images(tmp_path: Path):
    examples = two(tmp_path)
    plan = plan_of(RoundSpec("supervised", (1,), examples, tmp_path, device="cpu"))
    assert plan.network.named == ("dna", "actin") and plan.network.channels == 2
    assert NetworkSpec.from_json(plan.network.as_json()) == plan.network
    plain = plan_of(
        RoundSpec("supervised", (1,), tuple(replace(e, named=()) for e in examples), tmp_path, device="cpu")
    )
    assert plain.network.channels == 3 and "named" not in plain.network.as_json()


def test_patches_hold_what_readers_see(tmp_path: Path):
    plan = plan_of(RoundSpec("supervised", (1,), two(tmp_path), tmp_path, device="cpu"))
    cases = open_readers(two(tmp_path), CLASSES, plan.network, [])
    rng = np.random.default_rng(1)
    pools, cutter = Pools(cases, CLASSES, plan, rng), PatchCutter(plan, CLASSES, HeldArrays("cpu"))
    places = [pools.place_labelled(rng) for _ in range(8)]
    sample = cutter.labelled(places)
    assert sample.x.shape[1] == 2 and sample.x[:, 1].amax() > 0.9
    lacking = [place.case.example.image_id == 2 for place in places]
    assert 0 < sum(lacking) < 8
    assert [bool((row[0] == 0).all()) for row in sample.x] == lacking
    assert {path.name for path, _ in cutter.reads(places, labelled=False)} == {
        "1-dna.npy", "1-actin.npy", "2-actin.npy",
    }  # fmt: skip


def test_training_drops_channels_and_never_all_of_an_image():
    torch.manual_seed(1)
    x = torch.ones(400, 4, 3, 3)
    kept = without_some_channels(x).amax((2, 3))
    assert 0.05 < (kept == 0).float().mean() < 0.15 and kept.amax(1).min() == 1
    assert (without_some_channels(torch.ones(99, 1, 3)) == 1).all()


def test_nothing_is_dropped_elsewhere_and_no_number_is_drawn():
    plain = UNet(NetworkSpec(2, 3, 2, (8, 16), ((2, 2),))).train()
    named = UNet(NetworkSpec(2, 3, 2, (8, 16), ((2, 2),), named=("a", "b", "c"))).eval()
    before = torch.get_rng_state()
    for network in (plain, named):
        network(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), before)
