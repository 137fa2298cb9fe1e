"""Simulated clicks and boxes on validation items: how checkpoints are compared while training goes on."""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.clicknet.model import ClickNet
from models.clicknet_training.cache import Cache
from models.clicknet_training.simulate import BoolMask, depth
from models.prompt import Embedding, PromptModel, Prompts, correcting

SETS = (
    "dsb2018-nuclei",
    "coco-cc",
    "bsdata-pitting",
    "superalloy",
    "hippocampus",
    "brain-aseg",
    "ct",
    "spinal-cord",
)
PICTURES = (
    "dsb2018-nuclei",
    "coco-cc",
    "bsdata-pitting",
)  # their labels are objects; others' may have pieces
MIN_SHARE = {"coco-cc": 0.01}  # of the image, as the set's README advises
CLICKS = 10


@dataclass(frozen=True)
class EvalItem:
    image: NDArray[np.uint8]  # (H, W, 3)
    truth: BoolMask


@dataclass(frozen=True)
class EvalResult:
    clicks: tuple[float, ...]  # IoU after each
    box: float
    seconds: float  # per prediction


def cases(cache: Cache, name: str, count: int, split: str = "val") -> Iterator[EvalItem]:
    """The same objects each time: items and objects are drawn with a fixed seed."""
    rng = np.random.default_rng(7)
    entries = [e for e in cache.entries if e.set == name and e.split == split]
    found = 0
    for n in rng.permutation(np.repeat(np.arange(len(entries)), 30)):
        entry = entries[n]
        value, area, *_ = entry.objects[rng.integers(len(entry.objects))]
        if area < max(30, MIN_SHARE.get(name, 0) * entry.shape[0] * entry.shape[1]):
            continue
        pixels = cache.pixels(entry)
        grey = pixels[..., :1] if name == "ct" else pixels
        image = np.repeat(grey, 3, 2) if grey.shape[2] == 1 else np.array(grey)
        truth = cache.labels(entry) == value
        if name not in PICTURES:
            truth = _piece(rng, truth)
        yield EvalItem(np.ascontiguousarray(image), truth)
        found += 1
        if found == count:
            return


def _piece(rng: np.random.Generator, mask: BoolMask) -> BoolMask:
    """One connected piece of at least 30 pixels, or the largest."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = np.flatnonzero(areas >= min(30, areas.max()))
    return np.asarray(numbers == 1 + rng.choice(large))


def evaluate(model: PromptModel, case: EvalItem, clicks: int = CLICKS) -> EvalResult:
    """IoU after each of some clicks by RITM's rule, and from the box."""
    embedding = model.encode(case.image)
    started = time.perf_counter()
    ious = _by_clicks(model, embedding, case.truth, clicks)
    box = iou(model.predict(embedding, Prompts(box=bounding_box(case.truth))).mask, case.truth)
    return EvalResult(ious, box, (time.perf_counter() - started) / (clicks + 1))


def _by_clicks(model: PromptModel, embedding: Embedding, truth: BoolMask, count: int) -> tuple[float, ...]:
    prompts = Prompts()
    mask = np.zeros(truth.shape, bool)
    ious = []
    for _ in range(count):
        prompts = _next_click(prompts, truth, mask)
        mask = model.predict(embedding, correcting(prompts, mask)).mask
        ious.append(iou(mask, truth))
    return tuple(ious)


def _next_click(prompts: Prompts, truth: BoolMask, mask: BoolMask) -> Prompts:
    free = np.ones(truth.shape, bool)
    for row, column in prompts.points_rc:
        free[int(row), int(column)] = False
    missed, extra = depth(truth & ~mask & free), depth(mask & ~truth & free)
    positive = bool(missed.max() > extra.max())
    distance = missed if positive else extra
    if distance.max() <= 0:
        return prompts
    row, column = divmod(int(distance.argmax()), truth.shape[1])
    points = (*prompts.points_rc, (float(row), float(column)))
    return replace(prompts, points_rc=points, labels=(*prompts.labels, int(positive)))


def bounding_box(truth: BoolMask) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    return float(rows[0]), float(columns[0]), float(rows[-1]), float(columns[-1])


def iou(mask: BoolMask, truth: BoolMask) -> float:
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def table(results: dict[str, list[EvalResult]]) -> str:
    lines = [f"{'set':16s} {'n':>4s}   box     1     2     3     5    10  NoC85  ms"]
    for name, rows in results.items():
        clicks = np.array([r.clicks for r in rows])
        reached = clicks >= 0.85
        noc = np.where(reached.any(1), reached.argmax(1) + 1, 20).mean()
        numbers = [np.mean([r.box for r in rows]), *clicks.mean(0)[[0, 1, 2, 4, 9]]]
        ms = 1000 * np.median([r.seconds for r in rows])
        lines.append(
            f"{name:16s} {len(rows):4d} " + " ".join(f"{v:.3f}" for v in numbers) + f"  {noc:5.2f} {ms:4.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.clicknet_training.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, help="default: the shipped file")
    parser.add_argument("--cache", type=Path, default=Path("build/clicknet/cache"))
    parser.add_argument("--count", type=int, default=40, help="objects per set")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    model, cache = ClickNet(given.weights), Cache(given.cache)
    results = {
        name: [evaluate(model, case) for case in cases(cache, name, given.count)] for name in given.sets
    }
    print(table(results))


if __name__ == "__main__":
    main()
