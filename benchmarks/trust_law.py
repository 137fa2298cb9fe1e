"""The law with real learners: one more correct slice, stroke or click never makes what they propose worse.

Of each set some images are labelled wholly, and a learner's first round proposes the others, so that proposals are as
weak as they are in use. Volumes are then corrected by two complete slices; and, from the proposal again, by the strokes
of one slice, class after class, which is complete at the end. Pictures are corrected by CLICKS objects, one after
another: what is missing most is drawn, or what is too much is called background. Dice is the mean over the classes.
There is one torso and one brain: their sets are COPIES of it at half the resolution, each bent anew.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from annotator.exchange.examples.cells import cell_picture
from annotator.filling.fill_request import trust_in
from annotator.learning.settings import LearnSettings
from benchmarks.common import Row
from benchmarks.simulated import Annotator, Subject, project
from benchmarks.sparse import SparseSubject, case_of, subjects
from benchmarks.trust_calibration import even_pairs, tiles
from benchmarks.trust_cases import classes_of, halved, mean_dice, place
from benchmarks.trust_withheld import halved as halved_pictures
from benchmarks.trust_withheld import phantom_files
from learners.propagate import LabelledSlice, PropagationInput
from learners.propagate.fused import Prior, fuse
from storage.arrays import UNLABELLED, open_npy, plane

LABELLED, ASKED = 3, 3  # images; as many as there are where a set has fewer
STEPS, QUICK_STEPS = 60, 10  # of a round
CLICKS = 4
SLICE, STROKE, WAITING, CLICK = "a slice", "a stroke", "classes to come", "a click"
MARGIN = 0.02  # of Dice: what one case may lose
VOLUMES = ("spinal-cord", "hippocampus", "demo", "ct-torso", "brain")
COPIES, BENT_MM = 5, 4.0  # of a set's one volume, and how far its voxels move in the mean
PICTURES = ("cells", "superalloy", "nuclei", "pitting")
LEARNERS_OF = {
    "volumes": ("atlas", "supervised"),
    "pictures": ("supervised", "reference"),
}  # quick: the first
Changes = dict[str, list[float]]


@dataclass(frozen=True)
class Asked:
    """A proposal for an image that nobody labelled, with its truth."""

    subject: SparseSubject
    prior: Prior


def learned(data: Path, seeds: int, *, quick: bool) -> Iterator[Row]:
    """Per set and learner: how Dice changed with each correction."""
    every: Changes = defaultdict(list)
    for name in (*PICTURES, *VOLUMES):
        for learner in LEARNERS_OF["volumes" if name in VOLUMES else "pictures"][: 1 if quick else 2]:
            changes: Changes = defaultdict(list)
            for seed in range(seeds):
                with tempfile.TemporaryDirectory() as folder:
                    subject = _set(name, data, Path(folder))
                    for asked in _proposed(subject, learner, (Path(folder) / "p", seed), quick=quick):
                        for kind, values in _changes(asked, seed).items():
                            changes[kind] += values
                            every[kind] += values
            told = {kind: [round(v, 3) for v in values] for kind, values in changes.items()}
            print(f"{name}, {learner}: {told}", flush=True)
            yield from _summed(f"{name}, {learner}", changes)
    yield from _summed("all sets and learners", every)


def _proposed(subject: Subject, learner: str, at: tuple[Path, int], *, quick: bool) -> Iterator[Asked]:
    steps = QUICK_STEPS if quick else STEPS
    settings = LearnSettings((learner,), seconds=9999, settle_seconds=0, predict_seconds=86_400, steps=steps)
    if not subject.pairs:
        return
    with project(at[0], subject, settings, at[1]) as person:
        order = [int(i) for i in np.random.default_rng(at[1]).permutation(sorted(person.masks))]
        labelled = order[: min(LABELLED, len(order) - 1)]
        for image_id in labelled:
            person.label_whole(image_id)
        person.scheduler.run_until_idle()
        for image_id in order[len(labelled) :]:
            asked = _asked(person, image_id, learner)
            if asked is not None:
                yield asked


def _asked(person: Annotator, image_id: int, learner: str) -> Asked | None:
    """None where nothing is proposed."""
    store = person.workflow.store
    row, image = store.predictions.newest(image_id, learner), store.image(image_id)
    truth = person.truth(image_id)
    if row is None or not truth.any():
        return None
    prior = Prior(np.array(row.classes()), np.array(row.confidence()), trust_in(row))
    pixels = np.asarray(open_npy(image.path), np.float32)
    grey = pixels.mean(-1) if pixels.ndim == 4 else pixels
    spacing = image.spacing_mm or (1.0, 1.0, 1.0)
    return Asked(SparseSubject(person.subject.name, image.name, grey, truth, spacing), prior)


def _changes(asked: Asked, seed: int) -> Changes:
    if asked.prior.classes.shape[0] == 1:
        return {CLICK: list(_by_clicks(asked))}
    rng = np.random.default_rng(seed)
    return {SLICE: list(_by_slices(asked, rng)), **_by_strokes(asked, rng)}


def _by_slices(asked: Asked, rng: np.random.Generator) -> Iterator[float]:
    subject, before = asked.subject, mean_dice(asked.prior.classes, asked.subject.truth)
    at = [place(subject, "middle", rng), place(subject, "random", rng)]
    for count in (1, 2):
        after = mean_dice(fuse(case_of(subject, at[:count]), asked.prior).classes, subject.truth)
        yield after - before
        before = after


def _by_strokes(asked: Asked, rng: np.random.Generator) -> Changes:
    """Class after class on one slice, and then it is complete; and what that did to classes whose turn had not come."""
    subject, prior = asked.subject, asked.prior
    axis, index = place(subject, "largest", rng)
    drawn = plane(subject.truth, axis, index)
    classes = [int(v) for v in np.unique(drawn) if v]
    known = np.full(subject.truth.shape, UNLABELLED, np.uint8)
    before, out = prior.classes, Changes({STROKE: [], WAITING: []})
    for count, value in enumerate(classes, 1):
        cut = plane(known, axis, index)
        cut[drawn == value] = value
        case = _case(subject, known, LabelledSlice(axis, index, False, tuple(classes[:count])))
        after = fuse(case, prior).classes
        out[STROKE].append(mean_dice(after, subject.truth) - mean_dice(before, subject.truth))
        for later in classes[count:]:
            out[WAITING].append(_dice(after, subject.truth, later) - _dice(before, subject.truth, later))
        before = after
    complete = fuse(case_of(subject, [(axis, index)]), prior).classes
    out[STROKE].append(mean_dice(complete, subject.truth) - mean_dice(before, subject.truth))
    return out


def _by_clicks(asked: Asked) -> Iterator[float]:
    subject, truth = asked.subject, asked.subject.truth[0]
    known = np.full(asked.prior.classes.shape, UNLABELLED, np.uint8)
    before, classes = mean_dice(asked.prior.classes, subject.truth), asked.prior.classes
    for _ in range(CLICKS):
        said = _worst_object(classes[0], truth, known[0])
        if said is None:
            return
        known[0][said] = truth[said]
        drawn = tuple(int(v) for v in np.unique(known) if v not in (0, UNLABELLED))
        classes = fuse(_case(subject, known, LabelledSlice(0, 0, False, drawn)), asked.prior).classes
        after = mean_dice(classes, subject.truth)
        yield after - before
        before = after


def _worst_object(
    found: NDArray[np.uint8], truth: NDArray[np.uint8], known: NDArray[np.uint8]
) -> NDArray[np.bool_] | None:
    """(H, W) the true object that is missing most, or what is too much and touches none; None where all is right."""
    best: tuple[int, NDArray[np.bool_]] | None = None
    for where, wrong in ((truth, truth > 0), (found, (found > 0) & (truth == 0))):
        for value in [int(v) for v in np.unique(where) if v not in (0, UNLABELLED)]:
            pieces, count = ndimage.label((where == value) & wrong)
            errors = np.bincount(pieces[(found != truth) & (known == UNLABELLED)], minlength=count + 1)
            errors[0] = 0
            if errors.max() > (best[0] if best else 0):
                best = int(errors.max()), pieces == int(errors.argmax())
    return best[1] if best else None


def _case(subject: SparseSubject, known: NDArray[np.uint8], labelled: LabelledSlice) -> PropagationInput:
    case = PropagationInput(subject.image, known.copy(), (labelled,), subject.spacing_mm)
    return replace(case, window=subject.window)


def _dice(found: NDArray[np.uint8], truth: NDArray[np.uint8], value: int) -> float:
    a, b = found == value, truth == value
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def _summed(name: str, changes: Changes) -> Iterator[Row]:
    for kind, values in changes.items():
        if values:
            change = np.array(values)
            yield Row(name, kind, "mean change", float(change.mean()), len(change))
            yield Row(name, kind, "worst", float(change.min()), len(change))
            yield Row(name, kind, "share beyond the margin", float((change < -MARGIN).mean()), len(change))


# sets


def _set(name: str, data: Path, folder: Path) -> Subject:
    """() pairs where the folder lacks it."""
    made: dict[str, Callable[[], Subject]] = {
        "demo": lambda: Subject(
            name, tuple(phantom_files(folder))[:5], ("organ", "lesion"), whole_images=False
        ),
        "hippocampus": lambda: Subject(
            name, even_pairs(data / name, 6), ("anterior", "posterior"), whole_images=False
        ),
        "spinal-cord": lambda: Subject(name, _cords(data), ("cord",), objects=True, whole_images=False),
        "ct-torso": lambda: _bent_copies(name, data, folder),
        "brain": lambda: _bent_copies(name, data, folder),
        "nuclei": lambda: _pictures(name, even_pairs(data / "dsb2018-nuclei", 8), "nucleus", folder),
        "pitting": lambda: _pictures(name, even_pairs(data / "bsdata-pitting", 8), "pit", folder),
        "cells": lambda: Subject(name, tuple(_cells(folder)), ("cell",), objects=True),
        "superalloy": lambda: Subject(
            name, tuple(tiles(even_pairs(data / name, 6), folder))[::4][:6], ("small", "large")
        ),
    }
    return made[name]()


def _pictures(name: str, pairs: tuple[tuple[Path, Path], ...], of: str, folder: Path) -> Subject:
    return Subject(name, tuple(halved_pictures(pairs, folder)), (of,), objects=True)


def _bent_copies(name: str, data: Path, folder: Path) -> Subject:
    one = next(iter(subjects(data, (name,), 1, quick=False)), None)
    if one is None:
        return Subject(name, (), ())
    small = halved(one)
    pairs = tuple(_bent_copy(small, folder / str(number), number) for number in range(COPIES))
    names = tuple(f"class {value}" for value in classes_of(small.truth))
    return Subject(name, pairs, names, whole_images=False)


def _bent_copy(subject: SparseSubject, folder: Path, seed: int) -> tuple[Path, Path]:
    """Image and truth moved by the same smooth random field."""
    rng, mm = np.random.default_rng(seed), np.array(subject.spacing_mm)
    fields = [ndimage.gaussian_filter(rng.normal(size=subject.truth.shape), 25.0 / mm) for _ in mm]
    moved = np.indices(subject.truth.shape, np.float32)
    for axis, field in enumerate(fields):
        moved[axis] += BENT_MM / mm[axis] * field / np.abs(field).mean()
    folder.mkdir()
    affine = np.diag([*mm[::-1], 1.0])
    paths = folder / f"{seed}.nii.gz", folder / f"{seed}-truth.nii.gz"
    for path, values, order in zip(paths, (subject.image, subject.truth), (1, 0)):
        bent = ndimage.map_coordinates(values, moved, order=order, mode="nearest")
        nib.save(nib.Nifti1Image(bent.transpose(2, 1, 0), affine), path)
    return paths


def _cords(data: Path) -> tuple[tuple[Path, Path], ...]:
    folder = data / "spinal-cord"
    return tuple((path, folder / "labels" / path.name) for path in sorted((folder / "images").glob("*.nii*")))


def _cells(folder: Path) -> Iterator[tuple[Path, Path]]:
    for number in range(1, 7):
        scan, owners = cell_picture(number)
        paths = folder / f"{number}.png", folder / f"{number}-truth.png"
        for path, values in zip(paths, (scan.pixels[0], (owners[0] > 0).astype(np.uint8))):
            cv2.imwrite(str(path), np.asarray(values))
        yield paths
