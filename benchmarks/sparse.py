"""From a few slices to a volume: Dice against the number of labelled slices, for every propagator and slice rule.

The simulated annotator draws true slices. Volumes with ground truth come from --data; what is not there is left out.
Fill times are for one more slice on a volume that was filled before, and as a ratio to the same run's own yardstick:
one Gaussian blur of the volume. Minutes are simulated: 6 s to open a slice and 0.24 s for each pixel of outline drawn.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.common import Row, finish, parser
from learners.propagate import PROPAGATORS, FilledVolume, LabelledSlice, PropagationInput, RunControl, fill
from learners.propagate.next_slice import SLICE_RULES, Volume, next_slice
from storage.arrays import BACKGROUND, UNLABELLED, plane
from storage.scan import robust_window

COUNTS = (1, 2, 3, 4, 6, 8, 12)
DEFAULT = "random_walker"
OPEN_SECONDS, OUTLINE_SECONDS = 6.0, 0.24
FILL_SECONDS = 60.0
ORACLE = "oracle"  # the rule that sees the truth
SLOW = ("walks", "demons", "prompted")  # measured at one count only in the quick form
BRAIN = (2, 3, 41, 42, 7, 46, 8, 47, 10, 49, 11, 50, 12, 51, 16, 17, 53, 4, 43)
TORSO = (1, 2, 3, 5, 6, 20, 52, 86, 87)
PARTS = ("propagators", "rules", "times")
SETS = ("hippocampus", "spinal-cord", "ct-torso", "brain")  # brain is left out by --quick
SlicePlace = tuple[int, int]  # axis, index


@dataclass(frozen=True)
class SparseSubject:
    """A volume with its truth."""

    set: str
    name: str
    image: NDArray[np.float32]  # (Z, Y, X)
    truth: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    @cached_property
    def window(self) -> tuple[float, float]:
        """As an import would show it; fills see the volume through it."""
        return robust_window(self.image)


def main() -> None:
    asked = parser(__doc__.splitlines()[0])
    asked.add_argument("--part", choices=PARTS, action="append", help="default: all")
    asked.add_argument("--set", choices=SETS, action="append", help="default: all that are there")
    asked.add_argument(
        "--propagator", choices=list(PROPAGATORS), action="append", help="default: all that are ready"
    )
    asked.add_argument(
        "--rule",
        choices=(*SLICE_RULES, ORACLE),
        action="append",
        help="default: all, quick without the oracle",
    )
    asked.add_argument("--volumes", type=int, help="of each set; default 20 hippocampi, 3 spines, all others")
    options = asked.parse_args()
    parts = options.part or PARTS
    seconds = 10.0 if options.quick else FILL_SECONDS
    counts = (1, 3, 6) if options.quick else COUNTS
    rows: list[Row] = []
    wanted = subjects(options.data, options.set or SETS, options.volumes, quick=options.quick)
    for subject in wanted if set(parts) & {"propagators", "rules"} else ():
        if "propagators" in parts:
            ready = [name for name, entry in PROPAGATORS.items() if entry.ready]
            for row in propagators(subject, counts, seconds, options.propagator or ready):
                print(f"{row.set}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
        for seed in range(1 if options.quick else options.seeds) if "rules" in parts else ():
            for row in rules(subject, counts, seed, options.rule, quick=options.quick):
                print(f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
        print(f"{subject.set}: {subject.name} done", flush=True)
    if "times" in parts:
        rows += times((128, 128, 128), (1.0, 1.0, 1.0))
        rows += times((100, 512, 512), (3.0, 0.8, 0.8))
    finish(rows, options.json)


def subjects(data: Path, sets: Sequence[str], count: int | None, *, quick: bool) -> Iterator[SparseSubject]:
    """The volumes with truth of these sets that the folder has, `count` of each set."""
    for folder, usual in (("hippocampus", 2 if quick else 20), ("spinal-cord", 1 if quick else 3)):
        if folder not in sets:
            continue
        for path in sorted((data / folder / "images").glob("*.nii*"))[: count or usual]:
            yield read_subject(folder, path, data / folder / "labels" / path.name, None)
    torso = data / "dicom-samples" / "ct-torso-3mm"
    if torso.is_dir() and "ct-torso" in sets:
        yield read_subject("ct-torso", torso / "ct.nii.gz", torso / "label_totalsegmentator.nii.gz", TORSO)
    if not quick and "brain" in sets:
        for path in sorted((data / "brain-aseg" / "images").glob("*.nii*"))[:count]:
            yield read_subject("brain", path, data / "brain-aseg" / "labels" / path.name, BRAIN)


def propagators(
    subject: SparseSubject, counts: tuple[int, ...], seconds: float, names: Sequence[str]
) -> Iterator[Row]:
    """These propagators and the default on equidistant slices of one plane, and on slices of all planes in turn."""
    quick = seconds < FILL_SECONDS
    for layout, place in (("parallel", parallel), ("orthogonal", orthogonal)):
        for count in counts:
            at = place(subject, count)
            case, minutes = case_of(subject, at), sum(_drawing(subject, one) for one in at) / 60
            metric = f"Dice, {count} slices"
            name = f"{subject.set}, {layout}"
            found = {"nearest slice": dice(subject, nearest(case))}
            yield Row(name, "nearest slice", metric, found["nearest slice"], count)
            yield Row(name, "nearest slice", f"minutes, {count} slices", minutes, count)
            for propagator in dict.fromkeys((DEFAULT, *names)):
                if quick and propagator in SLOW and (count != 3 or layout == "orthogonal"):
                    continue
                filled = fill(propagator, case, RunControl.of(seconds))
                found[propagator] = dice(subject, filled.classes)
                yield Row(name, propagator, metric, found[propagator], count, seconds=filled.seconds)
            yield Row(name, "best minus default", metric, max(found.values()) - found[DEFAULT], count)


def rules(
    subject: SparseSubject,
    counts: tuple[int, ...],
    seed: int,
    names: Sequence[str] | None = None,
    *,
    quick: bool,
) -> Iterator[Row]:
    """Slices chosen one after another by each rule, from a first one near the middle of the object."""
    first = first_place(subject, seed)
    most = max(counts) if not quick else min(6, max(counts))
    choosers: dict[str, Callable[[SparseSubject, FilledVolume, list[SlicePlace]], SlicePlace | None]] = {
        name: partial(_proposed, rule=name) for name in SLICE_RULES
    }
    choosers[ORACLE] = _oracle
    usual = [*SLICE_RULES] if quick else [*choosers]
    for name in names or usual:
        choose = choosers[name]
        at, seconds, previous = [first], _drawing(subject, first), None
        while True:
            filled = fill(DEFAULT, case_of(subject, at), RunControl.of(FILL_SECONDS, previous=previous))
            previous = filled
            if len(at) in counts:
                value = dice(subject, filled.classes)
                label = f"{subject.set}, slices chosen"
                yield Row(label, name, f"Dice, {len(at)} slices", value, len(at), seed)
                yield Row(label, name, f"minutes, {len(at)} slices", seconds / 60, len(at), seed)
            chosen = choose(subject, filled, at)
            if chosen is None or len(at) >= most:
                break
            at.append(chosen)
            seconds += _drawing(subject, chosen)


def times(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Iterator[Row]:
    """Refilling a phantom after one more slice, the worse half of three runs, beside one blur of the volume."""
    subject = _phantom(shape, spacing)
    at = [(0, int(shape[0] * 0.4)), (1, int(shape[1] * 0.4))]
    previous = fill(DEFAULT, case_of(subject, at))
    case = case_of(subject, [*at, (2, int(shape[2] * 0.4))])
    found = [_timed(lambda: fill(DEFAULT, case, RunControl(previous=previous))) for _ in range(3)]
    blur = min(_timed(lambda: gaussian_filter(subject.image, 1.0)) for _ in range(3))
    name = "x".join(str(n) for n in reversed(shape))
    filled = fill(DEFAULT, case, RunControl(previous=previous))
    yield Row(name, DEFAULT, "refill s", sorted(found)[1], 3)
    yield Row(name, DEFAULT, "refill / blur of the volume", sorted(found)[1] / blur, 3)
    yield Row(name, DEFAULT, "Dice of the phantom", dice(subject, filled.classes))


def parallel(subject: SparseSubject, count: int) -> list[SlicePlace]:
    """Equidistant slices along z over the object's extent."""
    return [(0, k) for k in _spread(subject, 0, count)]


def orthogonal(subject: SparseSubject, count: int) -> list[SlicePlace]:
    """As many slices of each plane as the count allows, z first."""
    shares = [len(range(axis, count, 3)) for axis in range(3)]
    return [(axis, k) for axis, share in enumerate(shares) for k in _spread(subject, axis, share)]


def case_of(subject: SparseSubject, at: list[SlicePlace]) -> PropagationInput:
    """What is known after these slices were drawn completely."""
    known = np.full(subject.truth.shape, UNLABELLED, np.uint8)
    slices = []
    for axis, index in dict.fromkeys(at):
        drawn = plane(subject.truth, axis, index)
        plane(known, axis, index)[...] = drawn
        slices.append(LabelledSlice(axis, index, True, tuple(int(v) for v in np.unique(drawn) if v)))
    return PropagationInput(subject.image, known, tuple(slices), subject.spacing_mm, window=subject.window)


def nearest(case: PropagationInput) -> NDArray[np.uint8]:
    """Every voxel as on the nearest labelled slice."""
    out, near = np.zeros(case.shape, np.uint8), np.full(case.shape, np.inf, np.float32)
    for s in case.slices:
        mm = np.abs(np.arange(case.shape[s.axis]) - s.index) * case.spacing_mm[s.axis]
        mm = np.broadcast_to(mm.reshape([-1 if a == s.axis else 1 for a in range(3)]), case.shape)
        shown = np.broadcast_to(np.expand_dims(plane(case.known, s.axis, s.index), s.axis), case.shape)
        closer = mm < near
        out[closer], near[closer] = shown[closer], mm[closer]
    return np.where(out == UNLABELLED, BACKGROUND, out).astype(np.uint8)


def dice(subject: SparseSubject, classes: NDArray[np.uint8]) -> float:
    """Mean over the classes of the truth, over the whole volume, labelled slices included."""
    found = []
    for value in np.unique(subject.truth):
        if value != BACKGROUND:
            a, b = classes == value, subject.truth == value
            found.append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return float(np.mean(found))


def read_subject(kind: str, image: Path, label: Path, keep: tuple[int, ...] | None = None) -> SparseSubject:
    """A volume with its truth; `keep`: the values to take, as 1, 2, ..."""
    scan = nibabel.Nifti1Image.from_filename(image)
    x, y, z = (float(mm) for mm in scan.header.get_zooms()[:3])
    pixels = np.asarray(scan.dataobj)
    values = np.asarray(nibabel.Nifti1Image.from_filename(label).dataobj).astype(np.int32).T
    truth = np.zeros(values.shape, np.uint8)
    for n, value in enumerate(keep or sorted(set(np.unique(values).tolist()) - {0}), 1):
        truth[values == value] = n
    return SparseSubject(
        kind, image.stem, pixels.reshape(pixels.shape[:3]).T.astype(np.float32), truth, (z, y, x)
    )


def _spread(subject: SparseSubject, axis: int, count: int) -> list[int]:
    hit = np.flatnonzero(subject.truth.any(tuple(b for b in range(3) if b != axis)))
    return [int(round(hit[0] + (hit[-1] - hit[0]) * (n + 1) / (count + 1))) for n in range(count)]


def first_place(subject: SparseSubject, seed: int) -> SlicePlace:
    """A slice that shows much of the objects; which one differs from seed to seed."""
    areas = (subject.truth > 0).sum((1, 2))
    best = np.flatnonzero(areas >= 0.8 * areas.max())
    return 0, int(np.random.default_rng(seed).choice(best))


def _proposed(
    subject: SparseSubject, filled: FilledVolume, at: list[SlicePlace], rule: str
) -> SlicePlace | None:
    slices = tuple(LabelledSlice(axis, index, True) for axis, index in at)
    proposal = next_slice(Volume(filled.classes, filled.confidence, slices, subject.spacing_mm), rule)
    return None if proposal is None else (proposal.axis, proposal.index)


def _oracle(subject: SparseSubject, filled: FilledVolume, at: list[SlicePlace]) -> SlicePlace | None:
    """The slice of any plane on which most voxels are wrong."""
    wrong = filled.classes != subject.truth
    sums = [wrong.sum(tuple(b for b in range(3) if b != axis)) for axis in range(3)]
    axis = max(range(3), key=lambda a: int(sums[a].max()))
    return (axis, int(sums[axis].argmax())) if sums[axis].max() else None


def _drawing(subject: SparseSubject, place: SlicePlace) -> float:
    """Simulated seconds to draw a slice."""
    cut = plane(subject.truth, *place)
    edges = sum(float((np.diff(cut, axis=a) != 0).sum()) for a in (0, 1))
    return OPEN_SECONDS + OUTLINE_SECONDS * edges


def _phantom(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> SparseSubject:
    """A bright ellipsoid that takes up a third of each side, in strong noise."""
    axes = [(np.arange(n) - 0.4 * n) / (0.17 * n) for n in shape]
    z, y, x = (a.reshape([-1 if b == k else 1 for b in range(3)]) for k, a in enumerate(axes))
    truth = ((z**2 + y**2 + x**2) < 1).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 25, shape)
    return SparseSubject("phantom", "phantom", (100 + 60 * truth + noise).astype(np.float32), truth, spacing)


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
