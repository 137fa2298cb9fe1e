"""Which patches a training job draws: labelled, unlabelled and proposed ones, with replacement, from images that are
not held out."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from learners.patches.cutter import PatchCutter, PatchGrid, PatchPlace
from learners.patches.held import HeldArrays
from learners.spec import WeakBox
from learners.training import rare_objects
from learners.training.data import ImageReader, TrustSchedule
from learners.training.losses import Sample
from learners.training.plan import Plan
from learners.training.resample import cover, zoom_of
from learners.training.targets import OPEN_BACKGROUND, Classes, trust_at

Item = TypeVar("Item")

FRESH_SHARE = 0.35  # of the labelled draws, while there is something new
FOREGROUND_SHARE = 0.67
SHARE_DRAWS = 48  # patches that say how much of a patch is object


class Pools:
    """Each kind of patch has its own random numbers, so that what is drawn ahead of one does not change another."""

    def __init__(
        self,
        cases: Sequence[ImageReader],
        classes: Classes,
        plan: Plan,
        rng: np.random.Generator,
        cutter: PatchCutter | None = None,
    ) -> None:
        self._plan, self._rngs = plan, dict(zip(("labelled", "unlabelled", "pseudo"), rng.spawn(3)))
        self._cutter = cutter or PatchCutter(plan, classes, HeldArrays(plan.device))
        self._held = self._cutter.held
        self._labelled = [case for case in cases if case.labelled]
        self._fresh = [case for case in self._labelled if case.example.fresh]
        self._shares, self._fresh_shares = _shares(self._labelled), _shares(self._fresh)
        self._any = [case for case in cases if not case.example.all_held]
        self._next: dict[str, list[PatchPlace]] = {}  # where files are read ahead

    @property
    def has_labels(self) -> bool:
        return bool(self._labelled)

    @property
    def has_news(self) -> bool:
        """Whether something was labelled that the parent did not see."""
        return bool(self._fresh)

    def labelled(self, count: int, schedule: TrustSchedule | None = None) -> Sample:
        """What people said; with `schedule` also what was propagated from it, as far as it is trusted."""
        return self._cutter.labelled(self._places("labelled", count, self.place_labelled), schedule)

    def unlabelled(self, count: int) -> Sample:
        """y, w = 0 everywhere; v says what lies inside the image."""
        return self._cutter.unlabelled(self._places("unlabelled", count, self.place_anywhere))

    def pseudo(self, count: int, reliable: Sequence[int]) -> Sample | None:
        """Patches of these images with the last model's classes as targets; None where there are none."""
        cases = [c for c in self._any if c.example.pseudo and c.example.image_id in reliable]
        if not cases:
            return None
        rng = self._rngs["pseudo"]
        return self._cutter.proposed([self._anywhere_in(_choice(cases, rng), rng) for _ in range(count)])

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
            place = self._anywhere_in(cases[n % len(cases)], rng)
            y, w = self._cutter.said([place], lambda _: trust_at(0.0))
            objects += int(((w > 0) & (y > 0) & (y < OPEN_BACKGROUND)).sum())
            known += int((w > 0).sum())
        return objects / known if known else None

    def close(self) -> None:
        """The device's memory is free again."""
        self._held.close()

    def place_labelled(self, rng: np.random.Generator) -> PatchPlace:
        """Around something that people said."""
        fresh = self._fresh and rng.random() < FRESH_SHARE
        cases, shares = (self._fresh, self._fresh_shares) if fresh else (self._labelled, self._shares)
        case = cases[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
        if not case.places or (case.example.boxes and rng.random() < 0.5):
            return self._around(case, _centre(_choice(case.example.boxes, rng)), rng)
        classes = [c for c in case.places if c != 0] or list(case.places)
        share = FOREGROUND_SHARE if self._plan.rare is None else rare_objects.FOREGROUND_SHARE
        wanted = classes if rng.random() < share else list(case.places)
        places = case.places[_choice(wanted, rng)]
        return self._around(case, places[rng.integers(len(places))], rng)

    def place_anywhere(self, rng: np.random.Generator) -> PatchPlace:
        return self._anywhere_in(_choice(self._any, rng), rng)

    def _anywhere_in(self, case: ImageReader, rng: np.random.Generator) -> PatchPlace:
        return self._around(case, rng.integers(case.example.shape), rng)

    def _around(self, case: ImageReader, centre: NDArray[np.integer], rng: np.random.Generator) -> PatchPlace:
        return PatchPlace(case, _grid(case, centre, self._plan, rng))

    def _places(
        self, kind: str, count: int, draw: Callable[[np.random.Generator], PatchPlace]
    ) -> list[PatchPlace]:
        """So many new ones; where files are read ahead those that were drawn with the last ones."""
        rng = self._rngs[kind]
        if not self._held.reads_ahead:
            return [draw(rng) for _ in range(count)]
        early = self._next.pop(kind, [])
        now = (early + [draw(rng) for _ in range(count - len(early))])[:count]
        self._next[kind] = early[count:] + [draw(rng) for _ in range(count)]
        self._held.ahead(self._cutter.reads(self._next[kind], labelled=kind == "labelled"))
        return now


def _grid(case: ImageReader, centre: NDArray[np.integer], plan: Plan, rng: np.random.Generator) -> PatchGrid:
    """A patch on the network's spacing that holds the centre somewhere in its middle half, on one of its voxels: a lone
    labelled slice must not fall between two."""
    size = plan.patch if plan.dims == 3 else (1, *plan.patch)
    shape, zoom = case.example.shape, zoom_of(case.example, plan)
    at = []
    for c, n, step, whole in zip(centre.tolist(), size, zoom, shape):
        jitter = int(rng.integers(-(n // 4), n // 4 + 1))
        corner = _corner(c + jitter * step, n, step, whole)
        at.append(c + (np.arange(n) - round((c - corner) / step)) * step)
    z, y, x = (cover(places, step, whole) for places, step, whole in zip(at, zoom, shape))
    return PatchGrid(at, (z, y, x), zoom)


def _corner(centre: float, size: int, step: float, whole: int) -> float:
    """Inside the image where the patch fits, around it where the image is smaller; in the image's voxels."""
    if size * step >= whole:
        return -((size * step - whole) // 2)
    return float(min(max(centre - size // 2 * step, 0), whole - size * step))


def _shares(cases: Sequence[ImageReader]) -> NDArray[np.float64]:
    """Summed up, how often each is drawn, by the square root of its labelled slices: a slice here and there must not
    outweigh the volumes that are labelled as a whole, nor one such volume all others."""
    return np.cumsum([max(1, len(c.example.slices) - len(c.example.held)) ** 0.5 for c in cases])


def _centre(box: WeakBox) -> NDArray[np.int64]:
    r0, c0, r1, c1 = box.box
    place = [(r0 + r1) // 2, (c0 + c1) // 2]
    place.insert(box.axis, box.index)
    return np.array(place)


def _choice(items: Sequence[Item], rng: np.random.Generator) -> Item:
    return items[int(rng.integers(len(items)))]
