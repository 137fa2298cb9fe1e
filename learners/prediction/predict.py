"""Whole images through a network: tile by tile into uint8 files, and sums that rankers need on the way."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from learners.objects.assemble import ApartMaps, assemble
from learners.prediction.committee import Committee, answered
from learners.prediction.ensemble import SnapshotEnsemble
from learners.prediction.settled import settled
from learners.training.data import ImageReader
from learners.training.plan import Plan, sides_for
from learners.training.resample import SAME, Zoom, cover, sampled, zoom_of
from learners.training.targets import Classes
from learners.training.trainer import autocast
from models.networks import UNet
from storage.arrays import Box3, write_npy

CORE = {"cpu": {2: 512, 3: 64}, "cuda": {2: 2048, 3: 192}}  # sides of a tile without its rim
RIM = {2: 32, 3: 12}  # pixels of surroundings that a tile sees and does not write
CONCURRENT_SLICES = 8  # slices of a volume that a 2D network sees at once, if they are small
LENIENT, STRICT = 0.3, 0.7  # probabilities of a class: an object that both draw alike has a clear outline
STEADY = 2 / 3  # how much of a model's word that is; the rest is the soft Dice
PIXELS = {"cpu": 8 * 256 * 256, "cuda": 8 * 2048 * 2048}  # of those slices together: memory goes by them


@dataclass
class Claim:
    """How sure a model is of the objects that it proposes, from sums over its tiles: for each class (K,) voxels and
    probabilities."""

    classes: int
    sizes: NDArray[np.float64] = field(init=False)  # voxels of the class map
    inside: NDArray[np.float64] = field(init=False)  # p summed over them
    everywhere: NDArray[np.float64] = field(init=False)  # p summed over the image
    strict: NDArray[np.float64] = field(init=False)  # voxels of at least STRICT
    lenient: NDArray[np.float64] = field(init=False)  # voxels of at least LENIENT

    def __post_init__(self) -> None:
        for name in ("sizes", "inside", "everywhere", "strict", "lenient"):
            setattr(self, name, np.zeros(self.classes))

    def add(self, p: NDArray[np.float32], best: NDArray[np.uint8]) -> None:
        """One tile: (K, z, y, x) probabilities and its class map."""
        flat, rows = best.reshape(-1), p.reshape(len(p), -1)
        chosen = np.take_along_axis(rows, flat[None].astype(np.intp), 0)[0]
        self.sizes += np.bincount(flat, minlength=self.classes)
        self.inside += np.bincount(flat, chosen, self.classes)
        self.everywhere += rows.sum(1, dtype=np.float64)
        self.strict += np.count_nonzero(rows >= STRICT, axis=1)
        self.lenient += np.count_nonzero(rows >= LENIENT, axis=1)

    def leave_out(self, channels: NDArray[np.int16], sure: NDArray[np.floating]) -> None:
        """Voxels that are not proposed after all: of each (N,) what it was and how sure, in 0..1."""
        gone = np.bincount(channels, sure, self.classes)
        self.sizes -= np.bincount(channels, minlength=self.classes)
        self.inside -= gone
        self.everywhere -= gone
        self.strict -= np.bincount(channels[sure >= STRICT], minlength=self.classes)
        self.lenient -= np.bincount(channels[sure >= LENIENT], minlength=self.classes)

    @property
    def said(self) -> float | None:
        """0..1; None where nothing is proposed. Two signs together rank images by their true Dice better than either,
        and better than the mean confidence (docs/measured/calibration.md): how much of an object changes between a
        lenient and a strict threshold, and the soft Dice, which also knows what the model leaves out."""
        there = self.sizes[1:] > 0
        if not there.any():
            return None
        steady, soft = (
            _dice(*(part[1:][there] for part in parts))
            for parts in (
                (self.strict, self.strict, self.lenient),
                (self.inside, self.everywhere, self.sizes),
            )
        )
        return float(np.mean(STEADY * steady + (1 - STEADY) * soft))


def _dice(
    both: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    return 2 * both / np.maximum(one + other, 1e-6)


@dataclass
class Sums:
    """What rankers and the expected Dice need of one image, without its probabilities. Axes z, y, x."""

    shape: tuple[int, int, int]
    classes: int
    entropy: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,), nats, over all classes
    doubt: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,): 1 - (best - second)
    per_class: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n, K): p * entropy
    foreground: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,): voxels
    contour: list[NDArray[np.float64]] = field(default_factory=list)  # per axis (n,): voxels at an edge
    claim: Claim = field(init=False)
    features: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (D,) mean of the coarsest
    seen: int = 0
    members: SnapshotEnsemble | None = None  # where snapshots were asked too

    def __post_init__(self) -> None:
        for name in ("entropy", "doubt", "foreground", "contour"):
            setattr(self, name, [np.zeros(n) for n in self.shape])
        self.per_class = [np.zeros((n, self.classes)) for n in self.shape]
        self.claim = Claim(self.classes)

    def add(self, at: Box3, p: NDArray[np.float32], best: NDArray[np.uint8]) -> None:
        """One tile: (K, z, y, x) probabilities and its class map."""
        logs = -(p * np.log(np.maximum(p, 1e-8)))
        entropy = logs.sum(0)
        top = np.partition(p, -2, axis=0)[-2:]
        doubt = 1 - (top[1] - top[0])
        weighted = p * entropy
        edge = _edges(best)
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            self.entropy[axis][at[axis]] += entropy.sum(others)
            self.doubt[axis][at[axis]] += doubt.sum(others)
            self.foreground[axis][at[axis]] += (best > 0).sum(others)
            self.contour[axis][at[axis]] += edge.sum(others)
            self.per_class[axis][at[axis]] += weighted.sum(tuple(a + 1 for a in others)).T
        self.claim.add(p, best)

    def leave_out(
        self, out: NDArray[np.bool_], channels: NDArray[np.int16], sure: NDArray[np.float64]
    ) -> None:
        """(Z, Y, X) voxels that are not proposed after all, and of each (N,) what it was and how sure, in 0..1."""
        self.claim.leave_out(channels, sure)
        for axis in range(3):
            self.foreground[axis] -= out.sum(tuple(a for a in range(3) if a != axis))

    def add_features(self, mean: NDArray[np.float32]) -> None:
        self.features = mean.astype(np.float64) if not self.seen else self.features + mean
        self.seen += 1


class Answer(NamedTuple):
    """What a network says of a part of an image."""

    p: NDArray[np.float32]  # (K, z, y, x) probabilities
    features: NDArray[np.float32]  # (D,) mean coarsest features
    apart: NDArray[np.float32] | None = (
        None  # (2, z, y, x) in 0..1 what tells objects apart, where it was asked
    )


class Tile(NamedTuple):
    """A part of an image, and what is said of it."""

    core: Box3
    p: NDArray[np.float32]
    features: NDArray[np.float32]
    apart: NDArray[np.float32] | None = None


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
    apart = ApartMaps(shape) if plan.objects is not None else None
    for core, p, features, answer in probabilities(network, case, plan):
        best = p.argmax(0).astype(np.uint8)
        writers[0][core] = values[best]
        writers[1][core] = np.round(p.max(0) * 255).astype(np.uint8)
        sums.add(core, p, best)
        sums.add_features(features)
        if apart is not None:
            apart.add(core, answer)
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
    """(Z, Y, X) label values before objects are assembled, and (2, Z, Y, X) what tells them apart, in 255."""
    shape, values = case.example.shape, classes.to_values()
    out, apart = np.zeros(shape, np.uint8), ApartMaps(shape)
    for core, p, _, answer in probabilities(network, case, plan):
        out[core] = values[p.argmax(0)]
        apart.add(core, answer)
    return out, apart.values


def predicted(
    network: UNet | Committee | Predictor, case: ImageReader, plan: Plan, classes: Classes
) -> Predicted:
    shape, values, claim = case.example.shape, classes.to_values(), Claim(len(classes))
    out, sure = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    apart = ApartMaps(shape) if plan.objects is not None else None
    for core, p, _, answer in probabilities(network, case, plan):
        best = p.argmax(0).astype(np.uint8)
        out[core], sure[core] = values[best], p.max(0)
        claim.add(p, best)
        if apart is not None:
            apart.add(core, answer)
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
    tiles = ((core, values[p.argmax(0)], p) for core, p, _, _ in probabilities(network, case, plan))
    if not plan.mends:
        yield from ((core, best) for core, best, _ in tiles)
        return
    whole, sure = (np.zeros(case.example.shape, np.uint8) for _ in range(2))
    for core, best, p in tiles:
        whole[core], sure[core] = best, np.round(p.max(0) * 255).astype(np.uint8)
    z, y, x = (slice(0, n) for n in whole.shape)
    yield (z, y, x), settled(case, plan, whole, sure)


def probabilities(network: UNet | Committee | Predictor, case: ImageReader, plan: Plan) -> Iterator[Tile]:
    """Tiles that cover the image once."""
    if not isinstance(network, (UNet, Committee)):
        yield from network.tiles(case)
        return
    network.eval()
    for core in _cores(case.example.shape, plan, zoom_of(case.example, plan)):
        yield Tile(core, *_tile(network, case, plan, core))


def _tile(network: UNet | Committee, case: ImageReader, plan: Plan, core: Box3) -> Answer:
    """Of a part of the image, seen with its surroundings."""
    zoom = zoom_of(case.example, plan)
    if zoom == SAME:
        seen, trim = _with_rim(core, case.example.shape, plan)
        p, features, apart = _forward(network, case.look(seen), plan)
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
    pixels = sampled(case.look((z, y, x)), [p - s.start for p, s in zip(at, (z, y, x))], zoom)
    p, features, apart = _forward(network, pixels, plan)
    back = (1 / zoom[0], 1 / zoom[1], 1 / zoom[2])
    return Answer(sampled(p, wanted, back), features, None if apart is None else sampled(apart, wanted, back))


def _forward(network: UNet | Committee, x: NDArray[np.float32], plan: Plan) -> Answer:
    """Of (C, z, y, x) pixels; a 2D network sees the slices as a batch."""
    tensor = torch.from_numpy(x).to(plan.device)
    batch = tensor.movedim(1, 0) if plan.dims == 2 else tensor[None]
    sides = batch.shape[2:]
    pads = [wanted - n for n, wanted in zip(sides, sides_for(sides, plan.network.multiple))]
    flat = [n for pad in reversed(pads) for n in (0, pad)]
    batch = torch.nn.functional.pad(batch, flat, mode="replicate")
    with torch.inference_mode(), autocast(plan):
        said = answered(network, batch)
    inside = (slice(None), slice(None), *(slice(0, n) for n in sides))

    def as_volume(part: torch.Tensor) -> NDArray[np.float32]:
        part = part[inside]
        whole: NDArray[np.float32] = (part.movedim(0, 1) if plan.dims == 2 else part[0]).cpu().numpy()
        return whole

    mean = said.features.float().mean([0, *range(2, said.features.dim())])
    apart = None if said.apart is None else as_volume(said.apart)
    return Answer(as_volume(said.p), mean.cpu().numpy(), apart)


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


def _edges(best: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Voxels whose next neighbour along some axis is of another class."""
    edge = np.zeros(best.shape, bool)
    for axis in range(3):
        before = [slice(None)] * 3
        after = [slice(None)] * 3
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= best[tuple(before)] != best[tuple(after)]
    return edge
