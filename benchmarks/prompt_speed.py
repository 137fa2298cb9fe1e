"""How long a method lets a person wait on a slice of 512 x 512, and how much memory it takes: run in a process of its
own by `benchmarks.prompt`. Prints rows as JSON."""

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clicks import box_of, next_click
from benchmarks.common import DATA, Row, peak_memory_mb
from benchmarks.prompt import maker
from benchmarks.prompt_cases import SETS, Draw, PromptCase
from benchmarks.prompt_table import SPEED
from models.prompt import PromptModel, Prompts, correcting

SIDE = 512
FROM = ("coco-cc", "superalloy", "ct-torso", "dsb2018-nuclei")
EACH = 3
FURTHER = 4  # clicks after the first


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.prompt_speed", description=__doc__)
    parser.add_argument("method")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    make, _ = maker(options.method)
    cases = [enlarged(case) for name in FROM for case in SETS[name](Draw(options.data, "val", EACH, 0))]
    before = peak_memory_mb()
    found = waits(make(), cases)
    values = {metric: float(np.median(times)) for metric, times in found.items()}
    values["peak MB"] = peak_memory_mb() - before
    rows = [Row(SPEED, options.method, metric, value, len(cases)) for metric, value in values.items()]
    print(json.dumps([asdict(row) for row in rows]))


def enlarged(case: PromptCase) -> PromptCase:
    image = cv2.resize(case.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    truth = cv2.resize(case.truth.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
    return replace(case, image=np.asarray(image, np.uint8), truth=truth)


def waits(model: PromptModel, cases: list[PromptCase]) -> dict[str, list[float]]:
    """Milliseconds of wall time: encoding and first click, further clicks, a box. The first case warms up."""
    times: dict[str, list[float]] = defaultdict(list)
    for n, case in enumerate([cases[0], *cases]):
        begin = time.perf_counter()
        embedding = model.encode(case.image)
        prompts: Prompts | None = Prompts()
        mask = np.zeros_like(case.truth)
        for k in range(1 + FURTHER):
            prompts = next_click(prompts, mask, case) if prompts is not None else None
            if prompts is None:
                break
            begin = time.perf_counter() if k else begin
            mask = model.predict(embedding, correcting(prompts, mask)).mask
            if n:
                times["ms next" if k else "ms first"].append(1000 * (time.perf_counter() - begin))
        begin = time.perf_counter()
        model.predict(embedding, box_of(case.truth))
        if n:
            times["ms box"].append(1000 * (time.perf_counter() - begin))
    return times


if __name__ == "__main__":
    main()
