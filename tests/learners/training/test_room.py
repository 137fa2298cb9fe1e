"""Patches and batches fit the cards that people have, and what a step is said to take is what it takes."""

from itertools import pairwise

import pytest
import torch

from learners.patches.room import KEPT, STEP_SHARE, StepSize, bytes_of_voxel, step_size
from models.networks import NETWORKS, NetworkSpec, UNet, strides_for

CARDS = (6, 12, 24, 80)


@pytest.mark.parametrize(
    ("name", "dims", "wanted"),
    [
        ("unet-m", 3, [(68, 2), (68, 4), (80, 4), (80, 4)]),
        ("unet-l", 3, [(54, 2), (68, 2), (68, 4), (80, 4)]),
        ("unet-m", 2, [(256, 3), (256, 6), (256, 13), (256, 16)]),
        ("unet-l", 2, [(236, 2), (256, 3), (256, 6), (256, 16)]),
    ],
)
def test_a_card_of_6_12_24_and_80_gb_takes_so_much(name, dims, wanted):
    sizes = [step_size(memory, dims, NETWORKS[name][dims][0]) for memory in CARDS]
    assert [(round(size.voxels ** (1 / dims)), size.batch) for size in sizes] == wanted


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["unet-m", "unet-l"])
def test_no_card_is_asked_for_more_than_it_has_and_a_larger_one_never_does_less(name, dims):
    width = NETWORKS[name][dims][0]
    sizes = [step_size(memory, dims, width) for memory in (4, *CARDS, 139)]
    voxels = [size.voxels * size.batch for size in sizes]
    assert all(a <= b for a, b in pairwise(voxels)) and all(size.batch >= 2 for size in sizes)
    for memory, size in zip((4, *CARDS, 139), voxels):
        assert size * bytes_of_voxel(dims, width) <= memory * 1e9 * STEP_SHARE


def test_a_tiny_card_still_gets_two_patches_that_show_something():
    assert step_size(1, 3, 32) == StepSize(40**3, 2)


@pytest.mark.parametrize(("name", "dims", "side"), [("unet-m", 2, 64), ("unet-m", 3, 32), ("unet-l", 3, 32)])
def test_a_step_keeps_what_is_said(name, dims, side):
    """For its backward pass, counted from what PyTorch saves."""
    widths, patch = NETWORKS[name][dims], (side,) * dims
    network = UNet(NetworkSpec(dims, 1, 3, widths, strides_for((1.0,) * dims, patch, len(widths))))
    kept: dict[int, int] = {}

    def keep(part: torch.Tensor) -> torch.Tensor:
        if not isinstance(part, torch.nn.Parameter):
            kept[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
            alive.append(part)
        return part

    alive: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
        network(torch.rand(1, 1, *patch))
    assert sum(kept.values()) / side**dims == pytest.approx(KEPT[dims] * widths[0], rel=0.12)
