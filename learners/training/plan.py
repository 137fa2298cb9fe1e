"""What to train on this machine with these images: dimensions, network, patches, batch, number format."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from learners.objects.scale import ObjectScale, object_scale
from learners.patches.room import StepSize, card_memory_gb, step_size
from learners.spec import Example, RoundSpec
from learners.training.rare_objects import RareObjects, rare_objects
from learners.training.single_pieces import single_pieces
from learners.training.tidying import Tidying
from models.networks import NETWORKS, RESIDUAL, NetworkSpec, strides_for

LASTING_NETWORK = {"cpu": "unet-m", "cuda": "unet-l"}  # of a training of hours or days
BATCH_NORM = "-bn"  # how the names of networks with batch norm end
THIN = 8  # a volume of fewer slices is a pile of pictures
COARSE = 4.0  # slices that lie so many times further apart than pixels are pictures too
ON_PROCESSOR = {2: StepSize(96 * 96, 4), 3: StepSize(28 * 28 * 28, 2)}
RARE_PATCH = 4  # times as large are patches where objects are rare, and as many times fewer


@dataclass(frozen=True)
class Plan:
    network: NetworkSpec
    patch: tuple[int, ...]
    batch: int
    device: str
    bf16: bool
    spacing_mm: tuple[float, ...]  # of the network's axes: the median of what was labelled
    spacing_known: bool = False  # false: nothing is brought to it
    rare: RareObjects | None = None  # pictures that objects hardly fill
    objects: ObjectScale | None = None  # classes whose objects are told apart
    tidy: Tidying | None = None  # what is mended in whole class maps

    @property
    def shrink(self) -> float:
        """Voxels of an image for one of the network's, whatever their spacing."""
        return self.rare.shrink if self.rare else (self.objects.shrink if self.objects else 1.0)

    @property
    def dims(self) -> int:
        return self.network.dims

    @property
    def mends(self) -> bool:
        """Whether whole class maps are looked at once more."""
        return self.rare is not None or self.tidy is not None


@dataclass(frozen=True)
class KnownScales:
    """What the model that training goes on from knows of the sizes of objects."""

    rare: RareObjects | None = None
    objects: ObjectScale | None = None


def plan_of(spec: RoundSpec, before: KnownScales = KnownScales(), *, told_by: str = "") -> Plan:
    """The same for the same images, classes and device, so that rounds can follow on one another. `told_by`:
    what tells objects apart where they have numbers; empty: nothing does."""
    device = device_of(spec.device)
    labelled = [e for e in spec.examples if e.known is not None] or list(spec.examples)
    dims = dims_of(labelled)
    spacing = median_spacing(labelled)[3 - dims :]
    size = [float(n) for n in np.median([e.shape for e in labelled], axis=0)][3 - dims :]
    name = network_of(spec.network, device, len(labelled), lasting=spec.lasting is not None)
    widths = NETWORKS[name][dims]
    pictures = all(e.shape[0] == 1 for e in labelled)
    rare = rare_objects(labelled, before.rare) if pictures else None
    scale = object_scale(labelled, dims, spec.class_ids, before.objects) if told_by else None
    scale = None if scale is None else replace(scale, told_by=told_by)
    shrink = rare.shrink if rare else (scale.shrink if scale else 1.0)
    # a training of days chooses what to mend by labels that it did not see
    single = single_pieces(labelled, spec.class_ids) if spec.lasting is None else {}
    size_of_step = ON_PROCESSOR[dims] if device == "cpu" else step_size(card_memory_gb(), dims, widths[0])
    voxels = size_of_step.voxels * (1 if rare is None else RARE_PATCH)
    patch = _patch([n / shrink for n in size], spacing, voxels, len(widths))
    named = channel_names(spec.examples)
    network = NetworkSpec(
        dims=dims,
        channels=len(named) or max(e.channels for e in spec.examples),
        classes=len(spec.class_ids) + 1,
        widths=widths,
        strides=strides_for(spacing, patch, len(widths)),
        norm="batch" if name.endswith(BATCH_NORM) else "group",
        apart=scale.channels if scale else 0,
        residual=RESIDUAL.get(name, ())[: len(widths)],
        deep=name in RESIDUAL,
        named=named,
    )
    plan = Plan(
        network=network,
        patch=sides_for(patch, network.multiple),
        batch=size_of_step.batch if rare is None else max(1, size_of_step.batch // RARE_PATCH),
        device=device,
        bf16=has_bf16(device),
        spacing_mm=spacing,
        spacing_known=sum(e.spacing_mm is not None for e in labelled) * 2 > len(labelled),
        rare=rare,
        objects=scale,
        tidy=Tidying(single) if single else None,
    )
    for _ in range(spec.smaller):
        plan = smaller(plan)
    return plan


def plan_to_predict(
    network: NetworkSpec,
    spacing_mm: tuple[float, ...] | None,
    wanted: str,
    rare: RareObjects | None = None,
) -> Plan:
    """For a model as it is, whatever the images of today would be planned for. `spacing_mm` None: not known.
    Raises ValueError where the wanted device is not on this machine."""
    device = device_of(wanted)
    return Plan(
        network=network,
        patch=network.multiple,
        batch=1,
        device=device,
        bf16=has_bf16(device),
        spacing_mm=spacing_mm or (1.0,) * network.dims,
        spacing_known=spacing_mm is not None,
        rare=rare,
    )


def channel_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """Of all images, in the order in which they came; empty where none has channels beside its picture."""
    return tuple(dict.fromkeys(channel.name for e in examples for channel in e.named))


def smaller(plan: Plan) -> Plan:
    """For when memory did not suffice: half the batch, then half the patch."""
    if plan.batch > 1:
        return replace(plan, batch=plan.batch // 2)
    longest = max(range(len(plan.patch)), key=lambda axis: plan.patch[axis])
    multiple = plan.network.multiple[longest]
    side = max(multiple, plan.patch[longest] // 2 // multiple * multiple)
    patch = (*plan.patch[:longest], side, *plan.patch[longest + 1 :])
    return replace(plan, patch=sides_for(patch, plan.network.multiple))


def dims_of(labelled: Sequence[Example]) -> int:
    """3 where most of what was labelled are volumes with slices close enough to belong together."""
    solid = [
        e.shape[0] >= THIN and (e.spacing_mm is None or e.spacing_mm[0] < COARSE * min(e.spacing_mm[1:]))
        for e in labelled
    ]
    return 3 if sum(solid) * 2 > len(solid) else 2


def median_spacing(labelled: Sequence[Example]) -> tuple[float, float, float]:
    spacings = [e.spacing_mm for e in labelled if e.spacing_mm is not None] or [(1.0, 1.0, 1.0)]
    z, y, x = (float(v) for v in np.median(spacings, axis=0))
    return z, y, x


def network_of(wanted: str, device: str, labelled: int, *, lasting: bool = False) -> str:
    if wanted != "auto":
        if wanted not in NETWORKS:
            raise LookupError(f"there is no network {wanted!r}; there are: {', '.join(NETWORKS)}")
        return wanted
    if lasting:
        return LASTING_NETWORK[device]
    return "unet-s" if device == "cpu" else ("unet-m" if labelled < 200 else "unet-l")


def device_of(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch finds no GPU on this machine; choose the device auto or cpu")
    return wanted


def has_bf16(device: str) -> bool:
    """Whether bf16 is quicker here: on a GPU, and on processors that multiply in it (1.7 times, measured)."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(asked()) and os.environ.get("SLICEWISE_BF16", "1") != "0"


def _patch(size: list[float], spacing: tuple[float, ...], voxels: int, levels: int) -> tuple[int, ...]:
    """The image's own shape, shrunk along what is longest in millimetres until it has no more than `voxels`."""
    sides = [max(1, math.ceil(n)) for n in size]
    if len(sides) == 2:
        return _squared(sides, voxels, levels)
    while math.prod(sides) > voxels:
        longest = max(range(len(sides)), key=lambda axis: sides[axis] * spacing[axis])
        sides[longest] = max(1, int(sides[longest] * 0.9))
    return tuple(sides)


def _squared(sides: list[int], voxels: int, levels: int) -> tuple[int, ...]:
    """Pictures of all shapes come together, and a square can be turned."""
    side = min(max(sides), int(math.sqrt(voxels)))
    return side, side


def sides_for(sides: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """What a network takes that holds these sides: its deepest level needs two voxels or more to compare, or
    normalizing them is undefined (torch refuses it)."""
    rounded = [math.ceil(n / m) * m for n, m in zip(sides, multiple, strict=True)]
    if rounded == list(multiple):
        rounded[-1] *= 2
    return tuple(rounded)
