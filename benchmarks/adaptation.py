"""Test-time adaptation on nuclei of other stains and hippocampi of other intensities: ungated, gated, per network."""

import csv
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import Row
from learners.adapt import ADAPTERS, AdaptationData
from learners.adapt.adapted import adapt_groups, patches_of
from learners.adapt.layers import batch_norms
from learners.prediction.evaluation import Evaluator
from learners.rounds.train import run
from learners.spec import Example, RoundSpec
from learners.training.checkpoint import load_network
from learners.training.data import ImageReader
from learners.training.plan import plan_of
from learners.training.targets import Classes
from storage.arrays import write_npy
from storage.formats import lay_on, read, read_labels
from storage.formats.grid import grid_of_image

NETWORKS = ("unet-s", "unet-s-bn")


@dataclass(frozen=True)
class Shift:
    """Train on the first group, adapt to the second; its gate images judge, its test images are never seen."""

    name: str
    folder: Path
    source: tuple[str, ...]
    target: tuple[str, ...]
    class_ids: tuple[int, ...]
    objects: bool = False


def adaptation(data: Path, seed: int, *, quick: bool, seconds: float | None = None) -> Iterator[Row]:
    """`seconds`: of training for each network."""
    for shift in _shifts(data, quick):
        for network in NETWORKS:
            yield from _measured(shift, network, seed, seconds=seconds or (8.0 if quick else 90.0))


def _measured(shift: Shift, network: str, seed: int, seconds: float) -> Iterator[Row]:
    name = f"{shift.name}, {network}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        order = np.random.default_rng(seed).permutation(len(shift.target))
        target = [_example(shift, shift.target[i], 1000 + n, root) for n, i in enumerate(order)]
        gate, rest = target[: len(target) // 3], target[len(target) // 3 :]
        source = [_example(shift, each, n, root) for n, each in enumerate(shift.source, start=1)]
        examples = (*source, *(replace(e, known=None) for e in target))  # all of them are in the project
        spec = RoundSpec(
            learner="supervised",
            class_ids=shift.class_ids,
            examples=examples,
            directory=root / "round",
            seconds=seconds,
            predict_seconds=0.0,
            seed=seed,
            device="cpu",
            network=network,
        )
        spec.directory.mkdir()
        model = load_network(run(spec).model)
        plan, classes = plan_of(spec), Classes(shift.class_ids)
        judged = [ImageReader(replace(e, all_held=True), classes, plan.network.channels) for e in rest]
        unseen = [
            ImageReader(replace(e, known=None, group="target"), classes, plan.network.channels) for e in rest
        ]
        held = [
            ImageReader(replace(e, all_held=True, group="target"), classes, plan.network.channels)
            for e in gate
        ]
        known = [ImageReader(replace(e, group="source"), classes, plan.network.channels) for e in source]

        def each(network) -> list[float]:
            return [Evaluator([case], plan, classes)(network).dice or 0.0 for case in judged]

        plain = each(model)
        yield Row(name, "none", "Dice", float(np.mean(plain)), len(plain), seed)
        scene = AdaptationData(patches_of(unseen, plan), patches_of(known, plan))
        for key, entry in ADAPTERS.items():
            if entry.batch_norm and not batch_norms(model):
                continue
            started = time.perf_counter()
            changed = entry.adapt(model, scene).eval()
            took = round(time.perf_counter() - started, 2)
            yield from _rows(name, f"{key}, ungated", plain, each(changed), seed, took)
        started = time.perf_counter()
        gated = adapt_groups(model, [*known, *held, *unseen], plan, classes)
        took = round(time.perf_counter() - started, 2)
        chosen = {c.example.image_id: gated.by_image.get(c.example.image_id, model) for c in unseen}
        after = [
            Evaluator([case], plan, classes)(chosen[case.example.image_id]).dice or 0.0 for case in judged
        ]
        yield from _rows(name, "auto, gated", plain, after, seed, took)
        print(f"{name}, seed {seed}: {' '.join(gated.notes) or 'nothing kept'}")


def _rows(
    name: str, method: str, before: list[float], after: list[float], seed: int, took: float
) -> Iterator[Row]:
    worse = float(np.mean([b < a - 0.005 for a, b in zip(before, after)]))
    yield Row(name, method, "Dice", float(np.mean(after)), len(after), seed, took)
    yield Row(name, method, "made worse", worse, len(after), seed)


def _example(shift: Shift, file: str, image_id: int, root: Path) -> Example:
    """Image and mask as arrays on disk, as a round gets them."""
    scan = read(shift.folder / "images" / file)
    label = shift.folder / "labels" / (file if file.endswith(".gz") else Path(file).with_suffix(".png").name)
    values, own = read_labels(label)
    values = lay_on(values, own, grid_of_image(scan.geometry, scan.pixels.shape[:3], scan.spacing_mm))
    known = (values > 0).astype(np.uint8) if shift.objects else values.astype(np.uint8)
    pixels, target = root / f"{image_id}.npy", root / f"{image_id}-known.npy"
    write_npy(pixels, scan.pixels)
    write_npy(target, known)
    channels = scan.pixels.shape[3] if scan.pixels.ndim == 4 else 1
    return Example(image_id, pixels, known.shape, channels, scan.spacing_mm, target)


def _shifts(data: Path, quick: bool) -> Iterator[Shift]:
    train, test = (4, 6) if quick else (16, 15)
    if (data / "dsb2018-nuclei").is_dir():
        rows = _table(data / "dsb2018-nuclei")
        for a, b in (("fluo360", "fluo256"), ("fluo256", "histo320"))[: 1 if quick else None]:
            source = _files(rows, "domain", a, "train", train)
            target = _files(rows, "domain", b, None, test)
            yield Shift(f"nuclei {a} to {b}", data / "dsb2018-nuclei", source, target, (1,), objects=True)
    if (data / "hippocampus").is_dir():
        rows = _table(data / "hippocampus")
        source = _files(rows, "intensity_group", "e3", "train", train)
        target = _files(rows, "intensity_group", "u8", None, test)
        yield Shift("hippocampus e3 to u8", data / "hippocampus", source, target, (1, 2))


def _table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _files(
    rows: list[dict[str, str]], column: str, value: str, split: str | None, count: int
) -> tuple[str, ...]:
    names = [r["file"] for r in rows if r[column] == value and (split is None or r["split"] == split)]
    return tuple(names[:: max(1, len(names) // count)][:count])
