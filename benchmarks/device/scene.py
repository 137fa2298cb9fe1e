"""The volumes, the plan and the pools of the profile: 4 patches of 64 x 88 x 104 voxels a step."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from learners.patches.cutter import PatchCutter
from learners.patches.held import HeldArrays
from learners.patches.pools import Pools
from learners.spec import Example
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from models.networks import NETWORKS, NetworkSpec, strides_for
from storage.arrays import UNLABELLED, write_npy

PATCH, BATCH = (64, 88, 104), 4
SIDES = {False: (128, 160, 176), True: (72, 96, 112)}  # of the volumes; quick
CLASSES = Classes((1, 2))


@dataclass(frozen=True)
class Scene:
    """Volumes with some labelled slices, two of them without."""

    cases: list[ImageReader]
    plan: Plan

    def pools(self, room: int) -> Pools:
        cutter = PatchCutter(self.plan, CLASSES, HeldArrays(self.plan.device, room))
        return Pools(self.cases, CLASSES, self.plan, np.random.default_rng(0), cutter)


def scene(folder: Path, device: str, *, quick: bool, patch: tuple[int, int, int] = PATCH) -> Scene:
    examples = [_volume(folder, n, SIDES[quick], labelled=n < 3) for n in range(1, 5)]
    widths = NETWORKS["unet-m"][3]
    network = NetworkSpec(3, 1, len(CLASSES), widths, strides_for((1.0, 1.0, 1.0), patch, len(widths)))
    plan = Plan(network, patch, BATCH, device, device == "cuda", (1.0, 1.0, 1.0))
    return Scene([ImageReader(e, CLASSES, 1) for e in examples], plan)


def _volume(folder: Path, number: int, sides: tuple[int, int, int], *, labelled: bool) -> Example:
    """As a CT has it, in int16, with two objects, of which every eighth slice is labelled."""
    path, known_path = folder / f"{number}.npy", folder / f"{number}-known.npy"
    if not path.exists():
        rng = np.random.default_rng(number)
        smooth = ndimage.zoom(rng.normal(size=[n // 8 for n in sides]), 8, order=1)
        truth = (smooth > 0.3).astype(np.uint8) + (smooth > 0.8)
        known = np.full(sides, UNLABELLED, np.uint8)
        known[::8] = truth[::8]
        write_npy(path, (400 * smooth + rng.normal(0, 60, sides)).astype(np.int16))
        write_npy(known_path, known)
    slices = tuple((0, z) for z in range(0, sides[0], 8)) if labelled else ()
    known_of = known_path if labelled else None
    return Example(number, path, sides, 1, (1.0, 1.0, 1.0), known_of, slices=slices)
