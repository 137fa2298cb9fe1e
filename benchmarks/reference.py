"""Reference segmentation and test-time adaptation: one or five references against the obvious ways, gated or not.

Learners run through the workflow's own rounds on what the simulated annotator labelled; variants of the method (nearest
prototype, without the prompt model, without the gate, alignment of no steps) learn from the very same references.
The built-in prompt model was trained on the training parts of these sets, from which references are taken.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from annotator.learning.settings import LearnSettings
from benchmarks.adaptation import adaptation
from benchmarks.common import Row, finish, parser
from benchmarks.reference_sets import TASKS, Task, WantedImages
from benchmarks.simulated import Annotator, Subject, project
from learners.methods.reference.features import BuiltInFeatures
from learners.methods.reference.fit import FitOptions, learn
from learners.methods.reference.model import ClassModel, Reference, View
from learners.methods.reference.reference_slices import axis_of, shots_of
from learners.methods.reference.round import sight_of
from learners.prediction.predict import class_map
from learners.spec import RoundSpec, Unready
from learners.text import count_of
from learners.training.data import ImageReader
from learners.training.plan import plan_of
from learners.training.targets import Classes
from models.builtin import BuiltIn
from storage.arrays import SliceRef, open_npy

LEARNED = ("supervised", "reference", "reference_aligned", "atlas")
NOTHING = 0.001  # of an image that may be proposed where the thing is absent
Maps = Mapping[int, NDArray[np.uint8]]  # image -> (Z, Y, X) classes


@dataclass(frozen=True)
class Sizes:
    references: tuple[int, ...]
    targets: int
    seconds: float  # of supervised training


class Nearest(View):
    """Whatever lies nearer to a prototype of the object than to one of the rest; no discriminant, no gate."""

    def score(self, value: int, x: Tensor) -> Tensor:
        return self.seen[value].head.nearest(x)


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--part", choices=("reference", "adaptation"), action="append", help="default: both")
    options.add_argument("--set", choices=list(TASKS), action="append", help="default: all that are there")
    options.add_argument(
        "--method", action="append", help=f"of {', '.join(LEARNED)}, variants, baselines; default: all"
    )
    options.add_argument(
        "--seconds",
        type=float,
        help="of supervised training; default 60 and 90 for adaptation, quick 6 and 8",
    )
    options.add_argument("--targets", type=int, help="images to propose; default 10, quick 2")
    options.add_argument("--references", type=int, action="append", help="default 1 and 5, quick 1")
    asked = options.parse_args()
    sizes = Sizes((1,), 2, 6) if asked.quick else Sizes((1, 5), 10, 60)
    sizes = Sizes(
        references=tuple(asked.references or sizes.references),
        targets=asked.targets or sizes.targets,
        seconds=asked.seconds or sizes.seconds,
    )
    rows: list[Row] = []
    for part in asked.part or ("reference", "adaptation"):
        for seed in range(1 if asked.quick else asked.seeds):
            if part == "adaptation":
                found = adaptation(asked.data, seed, quick=asked.quick, seconds=asked.seconds)
            else:
                found = _references(asked.data, asked.set or list(TASKS), sizes, seed, asked.method or [])
            for row in found:
                print(f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True)
                rows.append(row)
    finish(rows, asked.json)


def _references(
    data: Path, sets: Sequence[str], sizes: Sizes, seed: int, methods: Sequence[str]
) -> Iterator[Row]:
    for name in sets:
        if not (data / name).is_dir():
            print(f"{name}: left out, its folder is not in {data}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            for task in TASKS[name](WantedImages(data, Path(folder), sizes.targets)):
                for count in sizes.references:
                    if count <= len(task.references):
                        yield from _task(task, count, sizes, seed, methods)
                for slices in task.slices:
                    yield from _task(task, 1, sizes, seed, methods, slices)


def _task(
    task: Task, count: int, sizes: Sizes, seed: int, methods: Sequence[str], slices: int = 0
) -> Iterator[Row]:
    """References that are labelled as a whole, or on so many of their slices."""
    chosen = np.random.default_rng(seed).permutation(len(task.references))[:count]
    pairs = tuple(task.references[i] for i in chosen)
    subject = Subject(task.name, (*pairs, *task.targets), task.classes, whole_images=task.whole_images)
    shown = f"{count_of(slices, 'slice')} of {count}" if slices else str(count)
    maker = _Rows(task, f"{task.name}, {shown}", seed)
    for name in methods or (*LEARNED, "variants"):
        with tempfile.TemporaryDirectory() as folder:
            settings = LearnSettings(
                (name if name in LEARNED else "reference",),
                seconds=sizes.seconds,
                settle_seconds=0,
                predict_seconds=3600,
                device="cpu",
            )
            with project(Path(folder) / "p", subject, settings, seed) as person:
                for image_id in sorted(person.masks)[:count]:
                    if slices:
                        _label_slices(person, image_id, slices, seed)
                    else:
                        person.label_whole(image_id)
                if name in LEARNED:
                    yield from _round(person, name, maker)
                else:
                    yield from _variants(person, maker, parts=name == "variants")


def _label_slices(person: Annotator, image_id: int, count: int, seed: int) -> None:
    """Of those that show half of the classes or more, as somebody would choose who wants to show what is meant."""
    classes = np.array([len(np.unique(plane[plane > 0])) for plane in person.truth(image_id)])
    worth = np.flatnonzero(classes * 2 >= classes.max())
    for index in np.random.default_rng(seed).permutation(worth)[:count]:
        person.label_slice(SliceRef(image_id, 0, int(index)))


def _round(person: Annotator, name: str, maker: "_Rows") -> Iterator[Row]:
    """What the workflow's own round proposes."""
    started, used = time.perf_counter(), time.process_time()
    person.scheduler.run_until_idle()
    seconds, used = time.perf_counter() - started, time.process_time() - used
    found = {}
    for image_id in person.masks:
        row = person.workflow.store.predictions.newest(image_id, name)
        if row is not None:
            found[image_id] = np.array(open_npy(row.classes_path))
    if not found:
        print(f"{maker.name}, {name}: {person.scheduler.status()[0]['message']}")
        return
    yield from maker.rows(person, name, found, seconds)
    if name == "atlas":
        yield Row(maker.name, name, "processor s, first round", used, len(person.masks), maker.seed)
        yield from _again(person, maker)


def _again(person: Annotator, maker: "_Rows") -> Iterator[Row]:
    """Processor time of a round after one more label, whose registrations are kept."""
    image_id = min(person.masks)
    for number in ("second", "third"):
        person.label_slice(SliceRef(image_id, 0, person.workflow.store.image(image_id).shape[0] // 2))
        started = time.process_time()
        person.scheduler.run_until_idle()
        took = time.process_time() - started
        yield Row(maker.name, "atlas", f"processor s, {number} round", took, len(person.masks), maker.seed)


def _variants(person: Annotator, maker: "_Rows", *, parts: bool) -> Iterator[Row]:
    """Baselines on the same references: the mask copied, what asks no prompt model. With `parts` also the method's
    parts switched off one by one."""
    inputs = person.scheduler._inputs.build("reference", 0)
    classes = Classes(inputs.class_ids)
    with tempfile.TemporaryDirectory() as folder:
        spec = RoundSpec("reference", inputs.class_ids, inputs.examples, Path(folder), device="cpu")
        plan = plan_of(spec)
    cases = [ImageReader(e, classes, plan.network.channels) for e in inputs.examples]
    axis = axis_of(cases)
    shots = shots_of(cases, (), axis)
    sight = sight_of(shots, BuiltInFeatures(), plan, inputs.mirror, axis)
    base = FitOptions(inputs.class_ids, late_ids=inputs.late_ids, axis=axis, joined=plan.dims == 3)
    variants = {
        "without the prompt model": base,
    }
    if parts:
        variants |= {
            "without the gate": replace(base, gated=False, prompt_model=BuiltIn()),
            "aligned, no steps": replace(base, aligned=True, steps=0, prompt_model=BuiltIn()),
            "aligned": replace(base, aligned=True, prompt_model=BuiltIn()),
        }
    yield from maker.rows(person, "copied mask", _copied(person, min(person.masks)), 0.0)
    unaligned: Maps = {}
    for name, options in variants.items():
        started = time.perf_counter()
        try:
            found = learn(shots, sight, options)
        except Unready as error:
            print(f"{maker.name}, {name}: {error}")
            continue
        targets = [c for c in cases if c.example.image_id in maker.targets(person)]
        maps = {c.example.image_id: class_map(found, c, plan, classes) for c in targets}
        if name == "aligned":
            yield maker.worse(person, unaligned, maps)
            continue
        unaligned = maps
        yield from maker.rows(person, name, maps, time.perf_counter() - started)
        if name == "without the prompt model":
            for own, method in ((False, "one threshold for all, without it"), (True, "one each, without it")):
                changed = _each(found, partial(_threshold, own=own))
                maps = {c.example.image_id: class_map(changed, c, plan, classes) for c in targets}
                yield from maker.rows(person, method, maps, 0.0)
            near = _each(found, lambda view: Nearest(view.sight, view.scaling, _with(view, gate=-np.inf)))
            maps = {c.example.image_id: class_map(near, c, plan, classes) for c in targets}
            yield from maker.rows(person, "nearest prototype", maps, 0.0)


def _threshold(view: View, *, own: bool) -> View:
    return replace(view, seen=_with(view, own=own))


def _each(found: Reference, change: Callable[[View], View]) -> Reference:
    return replace(found, views=tuple(change(view) for view in found.views))


def _with(view: View, **changed: object) -> dict[int, ClassModel]:
    return {value: replace(one, **changed) for value, one in view.seen.items()}  # type: ignore[arg-type]


def _copied(person: Annotator, reference: int) -> Maps:
    """The reference's mask laid over every image, stretched where sizes differ."""
    mask = person.truth(reference)
    out = {}
    for image_id in person.masks:
        shape = person.workflow.store.image(image_id).shape
        z = np.linspace(0, len(mask) - 1, shape[0]).round().astype(int)
        size = (shape[2], shape[1])
        out[image_id] = np.stack([cv2.resize(mask[i], size, interpolation=cv2.INTER_NEAREST) for i in z])
    return out


@dataclass(frozen=True)
class _Rows:
    """Compares maps with the truth of the targets."""

    task: Task
    name: str
    seed: int

    def targets(self, person: Annotator) -> list[int]:
        return sorted(person.masks)[-len(self.task.targets) :]

    def rows(self, person: Annotator, method: str, maps: Maps, seconds: float) -> Iterator[Row]:
        scores, absent = self._scores(person, maps)
        images = len(self.task.targets)
        each = round(seconds / images, 2)
        if scores:
            ious = [s / (2 - s) for s in scores]
            yield Row(self.name, method, "Dice", float(np.mean(scores)), len(scores), self.seed, each)
            yield Row(self.name, method, "mIoU", float(np.mean(ious)), len(scores), self.seed, each)
        if absent:
            yield Row(self.name, method, "absent right", float(np.mean(absent)), len(absent), self.seed)
        if seconds:
            yield Row(self.name, method, "s/image", each, images, self.seed, each)

    def worse(self, person: Annotator, before: Maps, after: Maps) -> Row:
        a, b = (self._scores(person, maps)[0] for maps in (before, after))
        share = float(np.mean([y < x - 0.005 for x, y in zip(a, b)])) if a and b else float("nan")
        return Row(self.name, "reference_aligned", "made worse by alignment", share, len(a), self.seed)

    def _scores(self, person: Annotator, maps: Maps) -> tuple[list[float], list[bool]]:
        """Dice of each class that is in an image, and whether nothing was proposed where none is."""
        scores, absent = [], []
        for image_id in self.targets(person):
            if image_id not in maps:
                continue
            truth, found = person.truth(image_id), maps[image_id]
            for value in range(1, len(self.task.classes) + 1):
                there, said = truth == value, found == value
                if there.any():
                    scores.append(2 * float((there & said).sum()) / float(there.sum() + said.sum()))
                else:
                    absent.append(bool(said.mean() < NOTHING))
        return scores, absent


if __name__ == "__main__":
    main()
