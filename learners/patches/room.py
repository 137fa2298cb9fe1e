"""What the memory of a graphics card takes: the patches of a step, and arrays that are held on it."""

from dataclasses import dataclass

import torch

LARGEST = {2: 256 * 256, 3: 80 * 80 * 80}  # voxels of a patch; larger ones were not tried
SMALLEST = {2: 128 * 128, 3: 40 * 40 * 40}  # below that a patch shows too little around an object
BATCH = {2: 16, 3: 4}  # at most; and half of a batch of volumes before its patches become smaller than
WHOLE = {2: 256 * 256, 3: 64 * 64 * 64}  # these
STEP_SHARE = 0.6  # of the memory; the rest is for what is held, for CUDA itself, and for the screen
HELD_SHARE = 0.25
KEPT = {
    2: 28 * 4,
    3: 20 * 4,
}  # bytes for each voxel and channel of the finest level that a backward pass needs
PASSING = 1.5  # times that: gradients and workspaces come and go
IMAGES = 3  # for each patch of a batch: UniMatch sees the labelled one and two looks at an unlabelled one


@dataclass(frozen=True)
class StepSize:
    voxels: int  # of a patch at most
    batch: int


def step_size(memory_gb: float, dims: int, width: int) -> StepSize:
    """For a card of so much memory and a network whose finest level has `width` channels. Fewer patches before smaller
    ones, but two or more; what is too large all the same is halved after memory ran out (`plan.smaller`)."""
    room = memory_gb * 1e9 * STEP_SHARE / bytes_of_voxel(dims, width)
    batch = int(min(BATCH[dims], max(2, room // WHOLE[dims])))
    return StepSize(int(min(LARGEST[dims], max(SMALLEST[dims], room / batch))), batch)


def bytes_of_voxel(dims: int, width: int) -> float:
    """Of each patch of a batch, at the most memory that a step takes."""
    return KEPT[dims] * width * PASSING * IMAGES


def held_room(device: str) -> int:
    """Bytes of the device that may be filled with whole arrays; none of a processor's, which maps files."""
    return int(card_memory_gb() * 1e9 * HELD_SHARE) if device == "cuda" else 0


def card_memory_gb() -> float:
    return torch.cuda.get_device_properties(0).total_memory / 1e9
