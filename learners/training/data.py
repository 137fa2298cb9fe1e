"""Images and targets opened where they are used, and patches drawn from them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from learners.objects.taught import TaughtDistances
from learners.spec import Example, WeakBox
from learners.training import rare_objects
from learners.training.losses import Sample
from learners.training.plan import Plan
from learners.training.resample import Zoom, cover, nearest, sampled, zoom_of
from learners.training.targets import (
    OPEN_BACKGROUND,
    Classes,
    Target,
    TrustAt,
    only_slices,
    propagated_trust,
    target_of,
    trust_at,
    with_fill,
    without_slices,
)
from storage.arrays import UNLABELLED, Box3, TornFile, open_npy, plane

Item = TypeVar("Item")

PERCENTILES = (0.5, 99.5)
LOOKED_AT = 200_000  # voxels to find the percentiles from
KEPT_PLACES = 5000  # voxels of each class of an image that patches are centred on
FRESH_SHARE = 0.35  # of the labelled draws, while there is something new
FOREGROUND_SHARE = 0.67
SHARE_DRAWS = 48  # patches that say how much of a patch is object
NEARLY_WHOLE = 0.9  # of a slice known: it shows how much of an image is object

# From the rounds that saw a fill before to how far it is trusted now.
TrustSchedule = Callable[[int], TrustAt]


class ImageReader:
    """An example whose files are opened for each look: a project may have more images than files can be open."""

    def __init__(self, example: Example, classes: Classes, channels: int) -> None:
        self.example, self._channels, self._classes = example, channels, classes
        self._range: tuple[float, float] | None = None
        self.places: dict[int, NDArray[np.int32]] = {}
        open_npy(example.pixels)  # raises TornFile now, when the image can still be left out
        if not example.all_held and (example.known is not None or example.guess is not None):
            self.places = _places(self._trained_on(), classes)

    def _trained_on(self) -> NDArray[np.uint8]:
        """(Z, Y, X) label values, the guessed ones where nobody said anything."""
        example = self.example
        said = np.full(example.shape, UNLABELLED, np.uint8)
        if example.known is not None:
            said = without_slices(open_npy(example.known), example.held)
        if example.guess is None:
            return said
        trusted = open_npy(example.guess.trust) > 0
        return np.where((said == UNLABELLED) & trusted, open_npy(example.guess.classes), said)

    @property
    def labelled(self) -> bool:
        return bool(self.places) or bool(self.example.boxes and not self.example.all_held)

    def held_out(self) -> NDArray[np.uint8] | None:
        """(Z, Y, X) label values to judge by, UNLABELLED elsewhere; None where nothing judges."""
        if self.example.judge is not None:
            judging = open_npy(self.example.judge)
            return judging if (judging != UNLABELLED).any() else None
        if self.example.known is None or not (self.example.all_held or self.example.held):
            return None
        known = open_npy(self.example.known)
        return known if self.example.all_held else only_slices(known, self.example.held)

    def held_numbers(self) -> NDArray[np.uint16] | None:
        """(Z, Y, X) object numbers of what `held_out` says; None where no object has one."""
        path = self.example.numbers if self.example.judge is None else self.example.judge_numbers
        return None if path is None else open_npy(path)

    def look(self, region: Box3) -> NDArray[np.float32]:
        """(C, z, y, x) pixels in 0..1 of a box inside the image; grey is repeated where others have colour."""
        pixels = open_npy(self.example.pixels)
        if self._range is None:
            self._range = percentiles(pixels)
        return normalised(pixels[region], *self._range, self._channels)

    def known(self, region: Box3) -> NDArray[np.uint8]:
        """(z, y, x) label values of a box inside the image that may be trained on."""
        assert self.example.known is not None
        values = np.array(open_npy(self.example.known)[region])
        for axis, index in self.example.held:
            if region[axis].start <= index < region[axis].stop:
                plane(values, axis, index - region[axis].start)[:] = UNLABELLED
        return values

    def target(self, region: Box3, schedule: TrustSchedule | None = None) -> Target:
        """(z, y, x) what may be trained on in a box inside the image; with `schedule` also what was propagated."""
        none = np.full([part.stop - part.start for part in region], UNLABELLED, np.uint8)
        said = target_of(none if self.example.known is None else self.known(region), self._classes)
        if (guess := self.example.guess) is not None:
            guessed, trust = (np.array(open_npy(path)[region]) for path in (guess.classes, guess.trust))
            said = with_fill(said, guessed, trust, np.ones(trust.shape, np.float32), self._classes)
        fill = self.example.fill
        if schedule is None or fill is None:
            return said
        trust = propagated_trust(region, self.example.slices, self.example.held, schedule(fill.rounds))
        filled, confidence = (np.array(open_npy(path)[region]) for path in (fill.classes, fill.confidence))
        return with_fill(said, filled, confidence, trust, self._classes)

    def proposed(self, region: Box3) -> Target:
        """(z, y, x) what the last model wrote."""
        assert self.example.pseudo is not None
        return target_of(np.array(open_npy(self.example.pseudo.classes)[region]), self._classes)

    @property
    def shows_shares(self) -> bool:
        """Whether a slice that is not held out is known nearly whole: clicks alone do not say how much is object."""
        if self.example.known is None or self.example.all_held:
            return False
        known = without_slices(open_npy(self.example.known), self.example.held)
        return any(
            ((known != UNLABELLED).mean(others) > NEARLY_WHOLE).any()
            for others in ((1, 2), (0, 2), (0, 1))[: 3 if len(known) > 1 else 1]
        )


def reliable(readers: Sequence[ImageReader], share: float) -> tuple[int, ...]:
    """So much (0..1) of the images that nobody labelled, the more stable ones."""
    unlabelled = [
        r.example
        for r in readers
        if r.example.pseudo is not None and not r.labelled and not r.example.all_held
    ]
    ranked = sorted(unlabelled, key=lambda e: (-(e.pseudo.stability if e.pseudo else 0), e.image_id))
    return tuple(e.image_id for e in ranked[: math.ceil(len(ranked) * share)])


def open_readers(
    examples: Sequence[Example], classes: Classes, channels: int, notes: list[str]
) -> list[ImageReader]:
    """Every image that can be read; a torn one is left out and named in `notes`."""
    cases = []
    for example in examples:
        try:
            cases.append(ImageReader(example, classes, channels))
        except TornFile:
            notes.append(f"image {example.image_id} cannot be read and was left out")
    return cases


def percentiles(pixels: NDArray[Any]) -> tuple[float, float]:
    """Where most intensities of an image lie; equal ends are moved apart."""
    step = max(1, round((pixels.size / LOOKED_AT) ** (1 / 3)))
    some = np.asarray(
        pixels[tuple(slice(None, None, step if n > 3 else 1) for n in pixels.shape)], np.float64
    )
    some = some[np.isfinite(some)]
    low, high = np.percentile(some, PERCENTILES) if some.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def normalised(part: NDArray[Any], low: float, high: float, channels: int) -> NDArray[np.float32]:
    """(z, y, x[, C]) of any type to (channels, z, y, x) around 0..1; colours become grey for a network of grey."""
    values = np.nan_to_num((np.asarray(part, np.float32) - low) / (high - low))
    values = np.clip(values, -0.2, 1.2)
    if part.ndim == 4 and channels == 1:
        values = values.mean(3)
    if values.ndim == 4:
        return np.ascontiguousarray(np.moveaxis(values, 3, 0))
    return np.repeat(values[None], channels, 0)


@dataclass(frozen=True)
class Drawn:
    x: NDArray[np.float32]  # (C, *S)
    y: NDArray[np.int64]
    w: NDArray[np.float32]
    inside: NDArray[np.float32]  # 1 where the patch lies inside the image
    box: NDArray[np.int64]
    apart: NDArray[np.float32] | None = None  # (4, *S)


class Pools:
    """Labelled and unlabelled patches, drawn with replacement. Held-out images are in neither."""

    def __init__(
        self,
        cases: Sequence[ImageReader],
        classes: Classes,
        plan: Plan,
        rng: np.random.Generator,
        taught: TaughtDistances | None = None,
    ) -> None:
        self._classes, self._plan, self._rng, self._taught = classes, plan, rng, taught
        self._labelled = [case for case in cases if case.labelled]
        self._fresh = [case for case in self._labelled if case.example.fresh]
        self._shares, self._fresh_shares = _shares(self._labelled), _shares(self._fresh)
        self._any = [case for case in cases if not case.example.all_held]

    @property
    def has_labels(self) -> bool:
        return bool(self._labelled)

    @property
    def has_news(self) -> bool:
        """Whether something was labelled that the parent did not see."""
        return bool(self._fresh)

    def labelled(self, count: int, schedule: TrustSchedule | None = None) -> Sample:
        """What people said; with `schedule` also what was propagated from it, as far as it is trusted."""
        return self._batch([self._draw_labelled(schedule) for _ in range(count)], unlabelled=False)

    def unlabelled(self, count: int) -> Sample:
        """y, w = 0 everywhere; v says what lies inside the image."""
        return self._batch([self._draw_anywhere() for _ in range(count)], unlabelled=True)

    def pseudo(self, count: int, reliable: Sequence[int]) -> Sample | None:
        """Patches of these images with the last model's classes as targets; None where there are none."""
        cases = [c for c in self._any if c.example.pseudo and c.example.image_id in reliable]
        if not cases:
            return None
        return self._batch([self._draw_pseudo(self._choice(cases)) for _ in range(count)], unlabelled=False)

    def planes(self) -> tuple[int, ...]:
        """The axes along which slices were labelled, the one with most of them first."""
        examples = [case.example for case in self._labelled]
        along = [axis for e in examples for axis, index in e.slices if (axis, index) not in e.held]
        counts = [along.count(axis) for axis in range(3)]
        return tuple(sorted((a for a in range(3) if counts[a]), key=lambda a: -counts[a]))

    def foreground_share(self) -> float | None:
        """Of the voxels of patches that are drawn as unlabelled ones are, from images of which slices are known nearly
        whole, as far as somebody said what they are or it was propagated; None where no slice is."""
        cases = [case for case in self._labelled if case.shows_shares]
        rng, objects, known = np.random.default_rng(0), 0, 0
        for n in range(SHARE_DRAWS if cases else 0):
            case = cases[n % len(cases)]
            grid = _grid(case, rng.integers(case.example.shape), self._plan, rng)
            y, w, _ = _said(case, grid, case.target(grid.inner, lambda _: trust_at(0.0)))
            objects += int(((w > 0) & (y > 0) & (y < OPEN_BACKGROUND)).sum())
            known += int((w > 0).sum())
        return objects / known if known else None

    def _draw_labelled(self, schedule: TrustSchedule | None) -> Drawn:
        fresh = self._fresh and self._rng.random() < FRESH_SHARE
        cases, shares = (self._fresh, self._fresh_shares) if fresh else (self._labelled, self._shares)
        case = cases[int(np.searchsorted(shares, self._rng.random() * shares[-1], side="right"))]

        def say(region: Box3) -> Target:
            return case.target(region, schedule)

        if not case.places or (case.example.boxes and self._rng.random() < 0.5):
            return self._patch(case, _centre(self._choice(case.example.boxes)), say)
        classes = [c for c in case.places if c != 0] or list(case.places)
        share = FOREGROUND_SHARE if self._plan.rare is None else rare_objects.FOREGROUND_SHARE
        wanted = classes if self._rng.random() < share else list(case.places)
        places = case.places[self._choice(wanted)]
        return self._patch(case, places[self._rng.integers(len(places))], say)

    def _draw_anywhere(self) -> Drawn:
        case = self._choice(self._any)
        centre = [self._rng.integers(n) for n in case.example.shape]
        return self._patch(case, np.array(centre), None)

    def _draw_pseudo(self, case: ImageReader) -> Drawn:
        centre = np.array([self._rng.integers(n) for n in case.example.shape])
        return self._patch(case, centre, case.proposed)

    def _patch(
        self, case: ImageReader, centre: NDArray[np.integer], say: Callable[[Box3], Target] | None
    ) -> Drawn:
        """Beyond the border pixels repeat."""
        grid = _grid(case, centre, self._plan, self._rng)
        starts = [part.start for part in grid.inner]
        pixels = sampled(case.look(grid.inner), [p - n for p, n in zip(grid.at, starts)], grid.zoom)
        nothing = np.full([part.stop - part.start for part in grid.inner], UNLABELLED, np.uint8)
        y, w, inside = _said(case, grid, say(grid.inner) if say else target_of(nothing, self._classes))
        box = _box_map(case.example.boxes, grid.at, self._classes)
        parts = (pixels, y, w, inside.astype(np.float32), box)
        apart = self._apart(case, grid) if say else None
        if self._plan.dims == 2:
            parts = (pixels[:, 0], *(part[0] for part in parts[1:]))
            apart = None if apart is None else apart[:, 0]
        return Drawn(*parts, apart=apart)

    def _apart(self, case: ImageReader, grid: "_PatchGrid") -> NDArray[np.float32] | None:
        """(4, z, y, x) of the patch; None where nothing is told apart."""
        if self._taught is None:
            return None
        if case.example.known is None:  # tight boxes alone
            return np.zeros((4, *map(len, grid.at)), np.float32)
        near, inside = nearest(grid.at, grid.inner), _inside(grid.at, case.example.shape)
        values = np.stack([each[near] for each in self._taught.of(case.example, grid.inner)]) * inside
        return values.astype(np.float32) / np.array([255, 255, 1, 1], np.float32).reshape(4, 1, 1, 1)

    def _batch(self, drawn: Sequence[Drawn], *, unlabelled: bool) -> Sample:
        def stack(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(d, name) for d in drawn])).to(self._plan.device)

        w = stack("w")
        v = stack("inside") if unlabelled else w  # among labels, trust weighs and divides
        has_boxes = any(d.box.any() for d in drawn)
        has_apart = self._taught is not None and all(d.apart is not None for d in drawn)
        return Sample(
            stack("x"),
            stack("y"),
            w,
            v,
            box=stack("box") if has_boxes else None,
            apart=stack("apart") if has_apart else None,
        )

    def _choice(self, items: Sequence[Item]) -> Item:
        return items[int(self._rng.integers(len(items)))]


@dataclass(frozen=True)
class _PatchGrid:
    """Where the voxels of a patch lie in an image."""

    at: list[NDArray[np.float64]]  # along each axis, in voxels of the image
    inner: Box3  # what of the image they need
    zoom: Zoom


def _grid(case: ImageReader, centre: NDArray[np.integer], plan: Plan, rng: np.random.Generator) -> _PatchGrid:
    """A patch on the network's spacing that holds the centre somewhere in its middle half, on one of its voxels: a lone
    labelled slice must not fall between two."""
    size = plan.patch if plan.dims == 3 else (1, *plan.patch)
    shape, zoom = case.example.shape, zoom_of(case.example, plan)
    at = []
    for c, n, step, whole in zip(centre, size, zoom, shape):
        jitter = int(rng.integers(-(n // 4), n // 4 + 1))
        corner = _corner(c + jitter * step, n, step, whole)
        at.append(c + (np.arange(n) - round((c - corner) / step)) * step)
    z, y, x = (cover(places, step, whole) for places, step, whole in zip(at, zoom, shape))
    return _PatchGrid(at, (z, y, x), zoom)


def _said(
    case: ImageReader, grid: _PatchGrid, target: Target
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """(z, y, x) of the patch: class, trust, and what lies inside the image."""
    near, inside = nearest(grid.at, grid.inner), _inside(grid.at, case.example.shape)
    y = np.where(inside, target.y[near].astype(np.int64), UNLABELLED)
    return y, np.where(inside, target.w[near], np.float32(0)), inside


def _shares(cases: Sequence[ImageReader]) -> NDArray[np.float64]:
    """Summed up, how often each is drawn, by the square root of its labelled slices: a slice here and there must not
    outweigh the volumes that are labelled as a whole, nor one such volume all others."""
    return np.cumsum([max(1, len(c.example.slices) - len(c.example.held)) ** 0.5 for c in cases])


def _places(known: NDArray[np.uint8], classes: Classes) -> dict[int, NDArray[np.int32]]:
    """Channel -> (N, 3) voxels of it, a regular choice where there are many."""
    table, found = classes.to_channels(), {}
    for channel in range(len(classes)):
        values = [v for v in range(256) if table[v] == channel or (channel == 0 and v == OPEN_BACKGROUND)]
        flat = np.flatnonzero(np.isin(known, np.array(values, np.uint8)))
        if len(flat):
            flat = flat[:: max(1, len(flat) // KEPT_PLACES)]
            found[channel] = np.stack(np.unravel_index(flat, known.shape), 1).astype(np.int32)
    return found


def _corner(centre: float, size: int, step: float, whole: int) -> float:
    """Inside the image where the patch fits, around it where the image is smaller; in the image's voxels."""
    if size * step >= whole:
        return -((size * step - whole) // 2)
    return float(np.clip(centre - size // 2 * step, 0, whole - size * step))


def _inside(at: Sequence[NDArray[np.float64]], shape: Sequence[int]) -> NDArray[np.bool_]:
    z, y, x = ((places > -0.5) & (places < n - 0.5) for places, n in zip(at, shape))
    return z[:, None, None] & y[:, None] & x


def _centre(box: WeakBox) -> NDArray[np.int64]:
    r0, c0, r1, c1 = box.box
    place = [(r0 + r1) // 2, (c0 + c1) // 2]
    place.insert(box.axis, box.index)
    return np.array(place)


def _box_map(
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
