"""Whole images through a network: tile by tile into uint8 files, and sums that rankers need on the way."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.give_way import give_way
from learners.objects.assemble import ApartMaps, assemble
from learners.prediction.committee import Committee, answered
from learners.prediction.ensemble import SnapshotEnsemble
from learners.prediction.settled import settled
from learners.prediction.sums import Claim, Sums
from learners.training.data import ImageReader
from learners.training.plan import Plan, sides_for
from learners.training.resample import SAME, Zoom, cover, sampled, zoom_of
from learners.training.targets import Classes
from learners.training.trainer import autocast, in_memory
from models.networks import UNet
from storage.arrays import Box3, write_npy

CORE = {"cpu": {2: 512, 3: 64}, "cuda": {2: 2048, 3: 192}}  # sides of a tile without its rim
RIM = {2: 32, 3: 12}  # pixels of surroundings that a tile sees and does not write
CONCURRENT_SLICES = 8  # slices of a volume that a 2D network sees at once, if they are small
PIXELS = {"cpu": 8 * 256 * 256, "cuda": 8 * 2048 * 2048}  # of those slices together: memory goes by them


class Answer(NamedTuple):
    """What a network says of a part of an image, where it runs."""

    p: Tensor  # (K, z, y, x) probabilities
    features: Tensor  # (D,) mean coarsest features
    apart: Tensor | None = None  # (C, z, y, x) in 0..1 what tells objects apart, where it was asked


class Tile(NamedTuple):
    """A part of an image, and what is said of it."""

    core: Box3
    p: NDArray[np.float32]
    features: NDArray[np.float32]
    apart: NDArray[np.float32] | None = None


class DeviceTile(NamedTuple):
    """The same, left where the network runs: a class map is an eighth of the probabilities or less."""

    core: Box3
    p: Tensor
    features: Tensor
    apart: Tensor | None = None


class Predictor(Protocol):
    """What predicts whole images in its own way, and not as one network does tile by tile."""

    def tiles(self, case: ImageReader) -> Iterator[Tile]:
        """Tiles that cover the image once."""


@dataclass(frozen=True)
class Files:
    """Where a prediction goes, (Z, Y, X) .npy."""

    classes: Path  # uint8
    confidence: Path  # uint8
    objects: Path | None = None  # uint16 numbers, written where the model tells objects apart


def predict(
    network: UNet | Committee | Predictor,
    case: ImageReader,
    plan: Plan,
    classes: Classes,
    files: Files,
    snapshots: Sequence[UNet] = (),
) -> Sums:
    """Write class and confidence region by region; never more than one tile of probabilities in memory."""
    shape = case.example.shape
    writers = [
        np.lib.format.open_memmap(path, "w+", np.uint8, shape) for path in (files.classes, files.confidence)
    ]
    sums, values = Sums(shape, len(classes)), classes.to_values()
    if snapshots:
        sums.members = SnapshotEnsemble(shape, len(classes), len(snapshots))
    apart = ApartMaps(shape, plan.objects.channels) if plan.objects is not None else None
    for core, p, features, answer in device_tiles(network, case, plan):
        sure, best = p.max(0)
        writers[0][core] = values[best.byte().cpu().numpy()]
        writers[1][core] = (sure * 255).round().byte().cpu().numpy()
        sums.add(core, p, best)
        sums.add_features(features.cpu().numpy())
        if apart is not None:
            apart.add(core, None if answer is None else answer.cpu().numpy())
        if sums.members is not None:
            sums.members.add(core, p, [_tile(each, case, plan, core).p for each in snapshots])

    def take(now: NDArray[np.uint8], out: NDArray[np.bool_]) -> None:
        sums.leave_out(out, classes.to_channels()[writers[0][out]], writers[1][out] / 255)
        # the surer the network was of what it said first, the less sure it is of what is said now
        changed = out | ((now != writers[0]) & (now != 0) & (writers[0] == 0))
        writers[0][:] = now
        writers[1][changed] = 255 - writers[1][changed]

    if plan.mends:
        now = settled(case, plan, writers[0], writers[1])
        take(now, (writers[0] != 0) & (now == 0))
    if apart is not None and plan.objects is not None:
        found = assemble(writers[0], apart.values, plan.objects, case.example.spacing_mm)
        take(found.classes, found.left_out)
        if files.objects is not None:
            write_npy(files.objects, found.numbers)
    for writer in writers:
        writer.flush()
    return sums


@dataclass(frozen=True)
class Predicted:
    """A whole image, in memory."""

    values: NDArray[np.uint8]  # (Z, Y, X) label values
    confidence: NDArray[np.float32]  # (Z, Y, X) 0..1
    claimed: float | None  # how sure the model is of the objects that it proposes
    numbers: NDArray[np.uint16] | None = None  # (Z, Y, X) of objects, where the model tells them apart


def proposed_and_apart(
    network: UNet, case: ImageReader, plan: Plan, classes: Classes
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(Z, Y, X) label values before objects are assembled, and (C, Z, Y, X) what tells them apart, in 255."""
    shape, values = case.example.shape, classes.to_values()
    out, apart = np.zeros(shape, np.uint8), ApartMaps(shape, plan.network.apart)
    for core, p, _, answer in probabilities(network, case, plan):
        out[core] = values[p.argmax(0)]
        apart.add(core, answer)
    return out, apart.values


def predicted(
    network: UNet | Committee | Predictor, case: ImageReader, plan: Plan, classes: Classes
) -> Predicted:
    shape, values, claim = case.example.shape, classes.to_values(), Claim(len(classes))
    out, sure = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    apart = ApartMaps(shape, plan.objects.channels) if plan.objects is not None else None
    for core, p, _, answer in device_tiles(network, case, plan):
        highest, best = p.max(0)
        out[core], sure[core] = values[best.byte().cpu().numpy()], highest.cpu().numpy()
        claim.add(p, best)
        if apart is not None:
            apart.add(core, None if answer is None else answer.cpu().numpy())
    if plan.mends:
        now = settled(case, plan, out, np.round(sure * 255).astype(np.uint8))
        changed, gone = now != out, (now == 0) & (out != 0)
        claim.leave_out(classes.to_channels()[out[gone]], sure[gone])
        out, sure[changed] = now, 1 - sure[changed]
    if apart is None or plan.objects is None:
        return Predicted(out, sure, claim.said)
    found = assemble(out, apart.values, plan.objects, case.example.spacing_mm)
    gone = found.left_out
    claim.leave_out(classes.to_channels()[out[gone]], sure[gone])
    sure[gone] = 1 - sure[gone]
    return Predicted(found.classes, sure, claim.said, found.numbers)


def class_map(
    network: UNet | Committee | Predictor, case: ImageReader, plan: Plan, classes: Classes
) -> NDArray[np.uint8]:
    """(Z, Y, X) label values, in memory."""
    out = np.zeros(case.example.shape, np.uint8)
    for core, values in class_tiles(network, case, plan, classes):
        out[core] = values
    return out


def class_tiles(
    network: UNet | Committee | Predictor, case: ImageReader, plan: Plan, classes: Classes
) -> Iterator[tuple[Box3, NDArray[np.uint8]]]:
    """Tiles that cover the image once: where, and (z, y, x) label values. One tile where something is mended and where
    objects are told apart: what is plausible, and which piece is the largest, shows in the whole image."""
    values = classes.to_values()
    if plan.objects is not None:
        z, y, x = (slice(0, n) for n in case.example.shape)
        yield (z, y, x), predicted(network, case, plan, classes).values
        return
    tiles = ((t.core, values[t.p.argmax(0).cpu().numpy()], t.p) for t in device_tiles(network, case, plan))
    if not plan.mends:
        yield from ((core, best) for core, best, _ in tiles)
        return
    whole, sure = (np.zeros(case.example.shape, np.uint8) for _ in range(2))
    for core, best, p in tiles:
        whole[core], sure[core] = best, (p.amax(0) * 255).round().byte().cpu().numpy()
    z, y, x = (slice(0, n) for n in whole.shape)
    yield (z, y, x), settled(case, plan, whole, sure)


def probabilities(network: UNet | Committee | Predictor, case: ImageReader, plan: Plan) -> Iterator[Tile]:
    """Tiles that cover the image once."""
    for core, p, features, apart in device_tiles(network, case, plan):
        told = None if apart is None else apart.cpu().numpy()
        yield Tile(core, p.cpu().numpy(), features.cpu().numpy(), told)


def device_tiles(
    network: UNet | Committee | Predictor, case: ImageReader, plan: Plan
) -> Iterator[DeviceTile]:
    """Tiles that cover the image once. Waits for people before each."""
    if not isinstance(network, (UNet, Committee)):
        for core, p, features, apart in network.tiles(case):
            give_way()
            told = None if apart is None else torch.from_numpy(apart)
            yield DeviceTile(core, torch.from_numpy(p), torch.from_numpy(features), told)
        return
    network.eval()
    for core in _cores(case.example.shape, plan, zoom_of(case.example, plan)):
        give_way()
        yield DeviceTile(core, *_tile(network, case, plan, core))


def _tile(network: UNet | Committee, case: ImageReader, plan: Plan, core: Box3) -> Answer:
    """Of a part of the image, seen with its surroundings."""
    zoom = zoom_of(case.example, plan)
    if zoom == SAME:
        seen, trim = _with_rim(core, case.example.shape, plan)
        p, features, apart = _forward(network, case.look_on(plan.device, seen), plan)
        inner = (slice(None), *trim)
        return Answer(p[inner], features, None if apart is None else apart[inner])
    return _resampled_tile(network, case, plan, core)


def _resampled_tile(network: UNet | Committee, case: ImageReader, plan: Plan, core: Box3) -> Answer:
    """On the network's spacing, and its probabilities linearly back onto the image's own voxels."""
    zoom, shape = zoom_of(case.example, plan), case.example.shape
    wanted, at = [], []  # the core's voxels in the network's; the network's in the image's
    for axis, (part, step, n) in enumerate(zip(core, zoom, shape)):
        rim = 0 if plan.dims == 2 and axis == 0 else RIM[plan.dims]
        places = (np.arange(part.start, part.stop) + 0.5) / step - 0.5
        low = max(0, int(np.floor(places[0])) - rim)
        high = min(max(1, math.ceil(n / step)), int(np.ceil(places[-1])) + rim + 1)
        at.append((np.arange(low, max(high, low + 1)) + 0.5) * step - 0.5)
        wanted.append(places - low)
    z, y, x = (cover(places, step, n) for places, step, n in zip(at, zoom, shape))
    pixels = sampled(case.look_on(plan.device, (z, y, x)), [p - s.start for p, s in zip(at, (z, y, x))], zoom)
    p, features, apart = _forward(network, pixels, plan)
    back = (1 / zoom[0], 1 / zoom[1], 1 / zoom[2])
    return Answer(sampled(p, wanted, back), features, None if apart is None else sampled(apart, wanted, back))


def _forward(network: UNet | Committee, x: Tensor, plan: Plan) -> Answer:
    """Of (C, z, y, x) pixels; a 2D network sees the slices as a batch."""
    batch = x.movedim(1, 0) if plan.dims == 2 else x[None]
    sides = batch.shape[2:]
    pads = [wanted - n for n, wanted in zip(sides, sides_for(sides, plan.network.multiple))]
    flat = [n for pad in reversed(pads) for n in (0, pad)]
    batch = torch.nn.functional.pad(batch, flat, mode="replicate")
    inside = (slice(None), slice(None), *(slice(0, n) for n in sides))

    def as_volume(part: Tensor) -> Tensor:
        part = part[inside]
        return part.movedim(0, 1) if plan.dims == 2 else part[0]

    with torch.inference_mode():
        with autocast(plan):
            said = answered(network, in_memory(batch, plan))
        mean = said.features.float().mean([0, *range(2, said.features.dim())])
        return Answer(as_volume(said.p), mean, None if said.apart is None else as_volume(said.apart))


def _cores(shape: tuple[int, int, int], plan: Plan, zoom: Zoom) -> Iterator[Box3]:
    """Neither the part of the image nor what the network sees of it is larger than a tile."""
    side = CORE[plan.device][plan.dims]
    area = min(side, shape[1]) * min(side, shape[2])
    slices = min(CONCURRENT_SLICES, max(1, PIXELS[plan.device] // area))
    sides = (slices if plan.dims == 2 else side, side, side)
    yield from product(*(_cuts(n, max(1, int(s * min(1.0, step)))) for n, s, step in zip(shape, sides, zoom)))


def _cuts(length: int, most: int) -> list[slice]:
    """Nearly equal pieces of at most so many voxels."""
    count = -(-length // most)
    edges = [round(i * length / count) for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:])]


def _with_rim(core: Box3, shape: tuple[int, int, int], plan: Plan) -> tuple[Box3, Box3]:
    """The part of the image a tile sees, and where its core lies in that."""
    seen, trim = [], []
    for axis, (part, n) in enumerate(zip(core, shape)):
        rim = 0 if plan.dims == 2 and axis == 0 else RIM[plan.dims]
        low, high = max(0, part.start - rim), min(n, part.stop + rim)
        seen.append(slice(low, high))
        trim.append(slice(part.start - low, part.stop - low))
    return tuple(seen), tuple(trim)  # type: ignore[return-value]
