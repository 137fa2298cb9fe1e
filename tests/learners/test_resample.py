"""Images of another spacing than the network's: what is sampled, what is written back, and that nothing is missed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

import learners.prediction.predict as predicting
from learners.patches.pools import Pools
from learners.prediction.evaluation import Evaluator
from learners.prediction.predict import class_map, probabilities
from learners.rounds.train import run
from learners.training.checkpoint import load_network
from learners.training.data import ImageReader
from learners.training.plan import plan_of
from learners.training.resample import SAME, cover, sampled, zoom_of
from learners.training.targets import Classes
from storage.arrays import UNLABELLED, open_npy
from tests.learners.test_learning import discs, example, spec_of

ONE = Classes((1,))


def blob(folder, number: int, spacing: tuple[float, float, float], **more):
    """An off-centre ball of 8 mm and a darker one that is none, on voxels of this spacing; 40 x 44 x 36 mm."""
    shape = [round(mm / s) for mm, s in zip((40, 44, 36), spacing)]
    z, y, x = np.meshgrid(*((np.arange(n) + 0.5) * s for n, s in zip(shape, spacing)), indexing="ij")
    rng = np.random.default_rng(number)
    middle = rng.uniform(14, 22, 3)
    far = np.sqrt((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
    other = np.sqrt((z - middle[0]) ** 2 + (y - middle[1] - 16) ** 2 + (x - middle[2]) ** 2)
    pixels = (
        60 + 100 * (far < 8) + 60 * ((other < 5) | ((far > 10) & (far < 11.5))) + rng.normal(0, 10, far.shape)
    )
    truth = (far < 8).astype(np.uint8)
    known = more.pop("known", lambda t: t)(truth)
    return replace(example(folder, number, pixels.astype(np.float32), known, **more), spacing_mm=spacing)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A network that knows balls at 2 mm."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("taught")
    examples = [blob(folder, i, (2.0, 2.0, 2.0), all_held=i == 5) for i in range(1, 6)]
    spec = spec_of(folder, examples, steps=110, predict=(1,))
    result = run(spec)
    return folder, plan_of(spec), load_network(result.model), result.dice


def test_only_clearly_other_spacings_are_brought_to_the_plans(tmp_path):
    spec = spec_of(tmp_path, [blob(tmp_path, i, (2.0, 2.0, 2.0)) for i in (1, 2)])
    plan, e = plan_of(spec), spec.examples[0]
    assert plan.spacing_known and zoom_of(e, plan) == SAME
    assert zoom_of(replace(e, spacing_mm=(1.6, 2.0, 2.5)), plan) == SAME
    assert zoom_of(replace(e, spacing_mm=(4.0, 1.0, 2.0)), plan) == (0.5, 2.0, 1.0)
    assert zoom_of(replace(e, spacing_mm=(0.002, 0.002, 0.002)), plan) == SAME  # metres, surely
    assert zoom_of(replace(e, spacing_mm=None), plan) == SAME
    unknown = plan_of(replace(spec, examples=tuple(replace(x, spacing_mm=None) for x in spec.examples)))
    assert zoom_of(replace(e, spacing_mm=(4.0, 4.0, 4.0)), unknown) == SAME
    pictures = discs(tmp_path, 2, labelled=2, held=0)
    flat = plan_of(spec_of(tmp_path, [replace(p, spacing_mm=(1.0, 0.5, 0.5)) for p in pictures]))
    assert zoom_of(replace(pictures[0], spacing_mm=(9.0, 1.0, 0.5)), flat) == (1.0, 0.5, 1.0)


def test_sampling_keeps_what_is_even_or_a_ramp_and_towards_coarse_takes_means():
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None], (12, 5, 6))[None]
    inner = [(np.arange(4, 16) + 0.5) * 0.5 - 0.5, np.arange(5), np.arange(6)]
    assert np.allclose(sampled(torch.tensor(ramp), inner, (0.5, 1, 1))[0, :, 0, 0], inner[0], atol=1e-5)
    comb = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None] % 2, (12, 5, 6))[None]
    places = [np.arange(2, 10, 2) + 0.5, np.arange(5), np.arange(6)]
    assert np.allclose(sampled(torch.tensor(comb), places, (2, 1, 1)), 0.5)
    same = [np.arange(12), np.arange(5), np.arange(6)]
    assert np.array_equal(sampled(torch.tensor(ramp), same, SAME), ramp)
    beyond = [np.array([-3, 0, 14]), np.arange(5), np.arange(6)]
    assert sampled(torch.tensor(ramp), beyond, SAME)[0, :, 0, 0].tolist() == [0, 0, 11]


@pytest.mark.parametrize(
    ("places", "zoom"), [([3, 4, 5], 1.0), ([-4.0, -2.0, 0.0], 2.0), ([9.1, 9.6, 10.1], 0.5)]
)
def test_what_is_read_covers_what_is_sampled_and_no_more_than_a_voxel_or_two_around(places, zoom):
    at = np.array(places)
    part = cover(at, zoom, 10)
    there = at[(at >= 0) & (at <= 9)]
    assert 0 <= part.start < part.stop <= 10
    assert all(part.start <= np.floor(p) and np.ceil(p) < part.stop for p in there)
    assert part.stop - part.start <= len(places) * max(zoom, 1) + 2 * max(zoom, 1) + 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 2.0, 2.0)])
def test_a_lone_labelled_slice_is_in_every_patch_that_is_drawn_for_it(tmp_path, spacing):
    def lone(truth):
        known = np.full(truth.shape, UNLABELLED, np.uint8)
        k = truth.shape[0] // 2 - 1
        known[k] = truth[k]
        return known

    usual = [blob(tmp_path, i, (2.0, 2.0, 2.0)) for i in (1, 2, 3)]
    plan = plan_of(spec_of(tmp_path, usual))
    other = blob(tmp_path, 4, spacing, known=lone)
    pools = Pools([ImageReader(other, ONE, 1)], ONE, plan, np.random.default_rng(0))
    sample = pools.labelled(24)
    for y, w in zip(sample.y, sample.w):
        planes = (w > 0).flatten(1).any(1)
        assert planes.any() and planes.sum() <= (1 if spacing[0] < 2 else 3)
        assert set(y[w > 0].unique().tolist()) <= {0, 1}
    assert any((y[w > 0] == 1).any() for y, w in zip(sample.y, sample.w))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (4.0, 2.0, 2.0), (2.0, 3.0, 1.0)])
def test_a_network_finds_the_same_at_any_spacing_on_the_images_own_voxels(taught, spacing):
    folder, plan, network, _ = taught
    own = blob(folder, 90, spacing, all_held=True)
    dice = Evaluator([ImageReader(own, ONE, 1)], plan, ONE)(network).dice
    usual = Evaluator([ImageReader(blob(folder, 90, (2.0, 2.0, 2.0), all_held=True), ONE, 1)], plan, ONE)(
        network
    ).dice
    assert class_map(network, ImageReader(own, ONE, 1), plan, ONE).shape == own.shape
    assert usual > 0.85 and dice > usual - 0.06


def test_tiles_of_a_resampled_image_meet_without_a_seam_and_stay_small(taught, monkeypatch):
    folder, plan, network, _ = taught
    case = ImageReader(blob(folder, 91, (1.0, 1.0, 3.0)), ONE, 1)
    whole = np.zeros((2, *case.example.shape), np.float32)
    for core, p, *_ in probabilities(network, case, plan):
        whole[:, *core] = p
    seen = []
    real = predicting._forward

    def watched(network, x, plan):
        seen.append(x.shape[1:])
        return real(network, x, plan)

    monkeypatch.setitem(predicting.CORE, "cpu", {2: 512, 3: 12})
    monkeypatch.setattr(predicting, "_forward", watched)
    tiled = np.zeros_like(whole)
    for core, p, *_ in probabilities(network, case, plan):
        tiled[:, *core] = p
    assert len(seen) > 8 and max(max(s) for s in seen) <= 12 + 2 * 12 + 3
    assert np.allclose(tiled.sum(0), 1, atol=1e-3)
    assert (tiled.argmax(0) == whole.argmax(0)).mean() > 0.99


@pytest.mark.slow
@pytest.mark.thorough
def test_hippocampus_at_twice_the_spacing_is_found_as_well(shared_data, tmp_path):
    """Trained on five volumes at 1 mm; six others at 1 mm and sampled at 2 mm, with the spacing told and not."""
    nibabel = pytest.importorskip("nibabel")
    folder = shared_data / "hippocampus"
    names = sorted(p.name for p in (folder / "images").glob("*.nii.gz"))[:48:4]

    def volume(name: str, number: int, factor: float, **more):
        x, y = (np.asarray(nibabel.load(folder / kind / name).dataobj).T for kind in ("images", "labels"))
        x, y = (
            ndimage.gaussian_filter(x.astype(np.float32), 0.5 / factor if factor < 1 else 0),
            y.astype(np.uint8),
        )
        if factor != 1:
            x, y = (
                ndimage.zoom(v, factor, order=o, grid_mode=True, mode="nearest") for v, o in ((x, 1), (y, 0))
            )
        e = example(tmp_path, number, x.astype(np.float32), y, **more)
        return replace(e, spacing_mm=(1 / factor,) * 3)

    train = [volume(name, i, 1.0, all_held=i == 5) for i, name in enumerate(names[:6])]
    spec = spec_of(tmp_path, train, class_ids=(1, 2), steps=250, seconds=600, predict=(1,))
    network, plan, classes = load_network(run(spec).model), plan_of(spec), Classes((1, 2))
    judged = [(name, 100 + i) for i, name in enumerate(names[6:])]

    def dice(factor: float, **changes) -> float:
        volumes = [replace(volume(n, number, factor, all_held=True), **changes) for n, number in judged]
        found = Evaluator([ImageReader(v, classes, 1) for v in volumes], plan, classes)(network).dice
        assert found is not None
        return found

    usual, coarse, untold = dice(1.0), dice(0.5), dice(0.5, spacing_mm=None)
    assert usual > 0.4 and coarse > usual - 0.06 and untold < coarse - 0.1, (usual, coarse, untold)


def test_a_patch_of_a_coarser_image_shows_as_many_millimetres(tmp_path):
    usual = [blob(tmp_path, i, (2.0, 2.0, 2.0)) for i in (1, 2, 3)]
    plan = plan_of(spec_of(tmp_path, usual))
    sizes = []
    for number, spacing in ((4, (2.0, 2.0, 2.0)), (4, (1.0, 1.0, 1.0)), (4, (2.0, 4.0, 4.0))):
        case = ImageReader(blob(tmp_path, number, spacing), ONE, 1)
        pools = Pools([case], ONE, plan, np.random.default_rng(1))
        sizes.append(np.mean([float((s == 1).sum()) for s in pools.labelled(30).y]))
    assert open_npy(usual[0].pixels).shape == (20, 22, 18)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.25) and sizes[2] == pytest.approx(sizes[0], rel=0.25)
