"""Patches of images as a batch on the device: the processor only says where, the device cuts and looks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.objects.taught import TaughtDistances
from learners.patches.held import HeldArrays
from learners.spec import WeakBox
from learners.training.data import ImageReader, TrustSchedule
from learners.training.losses import Sample
from learners.training.plan import Plan
from learners.training.resample import Zoom, nearest, sampled, taken
from learners.training.targets import OPEN_BACKGROUND, Classes, TrustAt, slices_along
from storage.arrays import UNLABELLED, Box3


@dataclass(frozen=True)
class PatchGrid:
    """Where the voxels of a patch lie in an image."""

    at: list[NDArray[np.float64]]  # along each axis, in voxels of the image
    inner: Box3  # what of the image they need
    zoom: Zoom

    @cached_property
    def near(self) -> list[NDArray[np.int64]]:
        """Along each axis the voxels of the image next to them, counted from the start of `inner`."""
        return nearest(self.at, self.inner)

    def inside(self, shape: Sequence[int]) -> list[NDArray[np.bool_]]:
        """Along each axis whether they lie in the image."""
        return [(places > -0.5) & (places < n - 0.5) for places, n in zip(self.at, shape)]


@dataclass(frozen=True)
class PatchPlace:
    """A patch of an image that is yet to be cut."""

    case: ImageReader
    grid: PatchGrid


class PatchCutter:
    """Makes samples of places. Nothing here waits for the device."""

    def __init__(
        self, plan: Plan, classes: Classes, held: HeldArrays, taught: TaughtDistances | None = None
    ) -> None:
        self._plan, self._classes, self.held, self._taught = plan, classes, held, taught
        self._as_stored = classes.ids == tuple(
            range(1, len(classes))
        )  # needs no table, which takes a processor long
        self._table = torch.from_numpy(classes.to_channels().astype(np.uint8)).to(plan.device)

    def labelled(self, places: Sequence[PatchPlace], schedule: TrustSchedule | None = None) -> Sample:
        """What people said; with `schedule` also what was propagated from it, as far as it is trusted."""
        sample = self._sample(places, *self.said(places, schedule))
        return sample if self._taught is None else replace(sample, apart=self._apart(places, self._taught))

    def said(
        self, places: Sequence[PatchPlace], schedule: TrustSchedule | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, z, y, x) class and trust alone."""
        y, w = self._classed([self._known(place) for place in places])
        for row, place in enumerate(places):
            self._add_guess(place, y[row], w[row])
            self._add_fill(place, schedule, y[row], w[row])
            self._cut_off(place, y[row], w[row])
        return y, w

    def proposed(self, places: Sequence[PatchPlace]) -> Sample:
        """What the last model wrote."""
        parts = []
        for place in places:
            assert place.case.example.pseudo is not None
            parts.append(self._part(place.case.example.pseudo.classes, place))
        y, w = self._classed(parts)
        for row, place in enumerate(places):
            self._cut_off(place, y[row], w[row])
        return self._sample(places, y, w)

    def unlabelled(self, places: Sequence[PatchPlace]) -> Sample:
        """y, w = 0 everywhere; v says what lies inside the image."""
        size = self._plan.patch if self._plan.dims == 3 else (1, *self._plan.patch)
        y = torch.full((len(places), *size), UNLABELLED, device=self._plan.device)
        v = torch.ones(y.shape, device=self._plan.device)
        for row, place in enumerate(places):
            if (inside := self._inside(place)) is not None:
                v[row] *= inside
        x, y, v = self._shaped(self._pixels(places), y, v)
        return Sample(x, y, torch.zeros_like(v), v)

    def reads(self, places: Sequence[PatchPlace], *, labelled: bool) -> list[tuple[Path, Box3]]:
        """The parts of files that a batch of these places needs."""
        out = []
        for place in places:
            example = place.case.example
            paths = list(place.case.files)
            if labelled:
                paths += [path for path in (example.known,) if path is not None]
                paths += [p for g in (example.guess,) if g is not None for p in (g.classes, g.trust)]
            out += [(path, place.grid.inner) for path in paths]
        return out

    def _sample(self, places: Sequence[PatchPlace], y: Tensor, w: Tensor) -> Sample:
        x, y, w = self._shaped(self._pixels(places), y, w)
        return Sample(x, y, w, w, box=self._boxes(places))

    def _apart(self, places: Sequence[PatchPlace], taught: TaughtDistances) -> Tensor:
        """(B, 2C, z, y, x) what tells objects apart, and where it is known."""
        rows, channels = [], taught.scale.channels
        for place in places:
            example, grid = place.case.example, place.grid
            values = np.zeros((2 * channels, *map(len, grid.at)), np.uint8)
            if example.known is not None:  # else tight boxes alone
                z, y, x = grid.near
                values = taught.of(example, grid.inner)[:, z[:, None, None], y[:, None], x]
            rows.append(torch.from_numpy(values).to(self._plan.device, non_blocking=True).float())
            if (inside := self._inside(place)) is not None:
                rows[-1] *= inside
        whole = torch.tensor([255.0] * channels + [1.0] * channels).view(-1, 1, 1, 1)
        return self._shaped(torch.stack(rows) / whole.to(self._plan.device, non_blocking=True))[0]

    def _pixels(self, places: Sequence[PatchPlace]) -> Tensor:
        """(B, C, z, y, x). Beyond the border pixels repeat."""
        rows = []
        for place in places:
            case, grid = place.case, place.grid
            looked = case.seen(partial(self._own, grid.inner))
            rows.append(sampled(looked, [p - s.start for p, s in zip(grid.at, grid.inner)], grid.zoom))
        return torch.stack(rows)

    def _own(self, region: Box3, path: Path) -> Tensor:
        return self.held.part(path, region)

    def _part(self, path: Path, place: PatchPlace) -> Tensor:
        """(z, y, x) of the patch, uint8, from the nearest voxels."""
        values = self.held.part(path, place.grid.inner)
        for axis, indices in enumerate(place.grid.near):
            values = taken(values, indices, axis)
        return values

    def _known(self, place: PatchPlace) -> Tensor:
        """(z, y, x) label values that may be trained on."""
        example, grid = place.case.example, place.grid
        if example.known is None:
            return torch.full(
                [len(p) for p in grid.at], UNLABELLED, dtype=torch.uint8, device=self._plan.device
            )
        values = self._part(example.known, place)
        for axis in {axis for axis, _ in example.held}:
            at = grid.near[axis] + grid.inner[axis].start
            silent = np.flatnonzero(np.isin(at, [index for a, index in example.held if a == axis]))
            if len(silent):
                rows = torch.from_numpy(silent).to(values.device, non_blocking=True)
                values = values.index_fill(axis, rows, UNLABELLED)
        return values

    def _classed(self, known: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(B, z, y, x) channels and trust of label values."""
        values = torch.stack(list(known))
        if self._as_stored:
            lacking = (values > len(self._classes.ids)) & (values < OPEN_BACKGROUND)
            values = values.masked_fill(lacking, UNLABELLED)
        else:
            values = self._table[values.int()]
        return values.long(), (values != UNLABELLED).float()

    def _add_guess(self, place: PatchPlace, y: Tensor, w: Tensor) -> None:
        guess = place.case.example.guess
        if guess is not None:
            self._fill_in(
                y, w, self._part(guess.classes, place), self._part(guess.trust, place).float() / 255
            )

    def _add_fill(self, place: PatchPlace, schedule: TrustSchedule | None, y: Tensor, w: Tensor) -> None:
        fill = place.case.example.fill
        if schedule is None or fill is None:
            return
        trust = propagated_trust_on(place, schedule(fill.rounds), self._plan.device)
        sure = self._part(fill.confidence, place).float() / 255
        self._fill_in(y, w, self._part(fill.classes, place), trust * sure)

    def _fill_in(self, y: Tensor, w: Tensor, values: Tensor, trust: Tensor) -> None:
        """In place: these label values, as far as they are trusted, where people said nothing."""
        filled, there = self._classed([values])
        unsaid = w == 0
        y.copy_(torch.where(unsaid, filled[0], y))
        w.copy_(torch.where(unsaid, there[0] * trust, w))

    def _cut_off(self, place: PatchPlace, y: Tensor, w: Tensor) -> None:
        """In place: nothing is said beyond the border."""
        if (inside := self._inside(place)) is not None:
            y.masked_fill_(~inside, UNLABELLED)
            w *= inside

    def _inside(self, place: PatchPlace) -> Tensor | None:
        """(z, y, x) whether it lies in the image; None where all of it does."""
        along = place.grid.inside(place.case.example.shape)
        if all(each.all() for each in along):
            return None
        z, y, x = (torch.from_numpy(each).to(self._plan.device, non_blocking=True) for each in along)
        return z[:, None, None] & y[:, None] & x

    def _boxes(self, places: Sequence[PatchPlace]) -> Tensor | None:
        if not any(place.case.example.boxes for place in places):
            return None
        maps = [box_map(p.case.example.boxes, p.grid.at, self._classes) for p in places]
        if not any(each.any() for each in maps):
            return None
        return self._shaped(torch.from_numpy(np.stack(maps)).to(self._plan.device))[0]

    def _shaped(self, *parts: Tensor) -> list[Tensor]:
        """Without the axis that a 2D network does not have."""
        return list(parts) if self._plan.dims == 3 else [part.squeeze(-3) for part in parts]


def propagated_trust_on(place: PatchPlace, trust_now: TrustAt, device: str) -> Tensor:
    """(z, y, x) what `targets.propagated_trust` says of a patch, on the device."""
    example, grid = place.case.example, place.grid
    at = [near + part.start for near, part in zip(grid.near, grid.inner)]
    others = [s for s in example.slices if s not in example.held]
    far = _away(at, [s for s in others if s[0] in trust_now.axes], device).clamp_min(1)
    trust = torch.where(far.isinf(), 0, torch.full_like(far, trust_now.base).pow(far))
    if example.held:
        trust = torch.where(_away(at, example.held, device) < _away(at, others, device), 0, trust)
    return trust


def _away(at: Sequence[NDArray[np.int64]], slices: Sequence[tuple[int, int]], device: str) -> Tensor:
    """(z, y, x) how many slices further the nearest of these is."""
    z, y, x = (
        torch.from_numpy(slices_along(places, axis, slices)).to(device, non_blocking=True)
        for axis, places in enumerate(at)
    )
    return torch.minimum(torch.minimum(z[:, None, None], y[:, None]), x)


def box_map(
    boxes: Sequence[WeakBox], at: Sequence[NDArray[np.float64]], classes: Classes
) -> NDArray[np.int64]:
    """Each box's number and channel over the voxels it covers; only whole boxes on slices of axis 0."""
    z, y, x = (np.floor(places + 0.5) for places in at)
    out = np.zeros((len(z), len(y), len(x)), np.int64)
    for number, each in enumerate(boxes, start=1):
        channel = int(classes.to_channels()[each.value])
        r0, c0, r1, c1 = each.box
        whole = r0 >= y[0] and c0 >= x[0] and r1 <= y[-1] + 1 and c1 <= x[-1] + 1
        if each.axis == 0 and whole and 0 < channel < UNLABELLED:
            out[np.ix_(z == each.index, (y >= r0) & (y < r1), (x >= c0) & (x < c1))] = number * 256 + channel
    return out
