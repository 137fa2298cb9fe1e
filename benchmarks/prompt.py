"""How good a mask is after how many clicks, from a box and from strokes: every prompt model against classical tools.

    python -m benchmarks.prompt [--quick] [--data FOLDER] [--seeds N] [--cases N] [--json FILE] [--markdown]
                                 [--models a,b] [--sets a,b]
    python -m benchmarks.prompt --table FILE [--markdown]      the table of an earlier run

Centre clicks follow the RITM rule until an IoU of 0.9 or 20 clicks; sampled clicks, since people do not click the
centre, are drawn by depth three times over (mean and worst). On photographs TRACER-TE0 stands beside the models as a
yardstick where its weights are at hand. Times and peak memory are measured for each method in a process of its own.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.baselines import BASELINES
from benchmarks.clicks import box_of, corrected_scribbles, dice, iou, next_click, scribbles_of
from benchmarks.common import ROOT, Row, machine, write
from benchmarks.common import parser as common_parser
from benchmarks.prompt_cases import SETS, Draw, PromptCase
from benchmarks.prompt_table import markdown, table
from models import PROMPT_MODELS
from models.prompt import Embedding, PromptModel, Prompts, correcting
from models.weights import CATALOGUE, find

YARDSTICK, YARDSTICK_SETS = "tracer", ("coco-cc",)  # trained on photographs; it makes nothing of other images
WEIGHTS = ROOT.parent / "shared" / "weights" / "tracer_te0"
METHODS = (*PROMPT_MODELS, *BASELINES, YARDSTICK)
REPEATS = 3  # of the sampled clicks


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    cases: int  # objects a set and seed
    clicks: int  # for the curve
    most_clicks: int  # until an IoU of 0.9
    sampled: int  # clicks of the sampled variant
    strokes: int  # correcting strokes after the first ones


QUICK = Size(cases=4, clicks=5, most_clicks=5, sampled=1, strokes=0)
FULL = Size(cases=10, clicks=10, most_clicks=20, sampled=3, strokes=2)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    shown = markdown if options.markdown else table
    if options.table:
        print(shown(read(options.table)))
        return
    if not options.data.is_dir():
        sys.exit(f"there is no folder {options.data}; give one with --data")
    cv2.setNumThreads(1)
    size = QUICK if options.quick else FULL
    size = replace(size, cases=options.cases or size.cases)
    methods = {name: make() for name, make in chosen(options.models)}
    rows: list[Row] = []
    for name in options.sets:
        for seed in range(options.seeds):
            cases = SETS[name](Draw(options.data, "val", size.cases, seed))
            for method, model in methods.items():
                if method != YARDSTICK or name in YARDSTICK_SETS:
                    rows += measure(PromptTask(name, method, seed, size), model, cases)
        print(table([row for row in rows if row.set == name]), flush=True)
    for method in methods:
        rows += speed(method, options.data)
    print(shown(rows))
    if options.json:
        write(rows, machine(), options.json)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = common_parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.set_defaults(seeds=None)
    parser.add_argument(
        "--cases", type=int, help=f"objects a set and seed ({FULL.cases}, quick: {QUICK.cases})"
    )
    parser.add_argument("--models", type=_names, help="comma-separated: " + ", ".join(METHODS))
    parser.add_argument("--sets", type=_names, default=list(SETS), help="comma-separated: " + ", ".join(SETS))
    parser.add_argument("--markdown", action="store_true", help="print the last table for a document")
    parser.add_argument(
        "--table", type=Path, help="print the table of a file written with --json, run nothing"
    )
    options = parser.parse_args(arguments)
    for given, known, what in ((options.sets, SETS, "data set"), (options.models, METHODS, "model")):
        if unknown := set(given or ()) - set(known):
            parser.error(f"no {what} is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    options.seeds = options.seeds or (1 if options.quick else 3)
    return options


def _names(text: str) -> list[str]:
    return text.split(",")


def chosen(names: list[str] | None) -> Iterator[tuple[str, Callable[[], PromptModel]]]:
    """The methods asked for, else all; what cannot run here is left out with a sentence."""
    for name in names or METHODS:
        make, missing = maker(name)
        if missing:
            print(f"{name}: left out, {missing}")
        else:
            yield name, make


def maker(name: str) -> tuple[Callable[[], PromptModel], str]:
    """How to make a method, and what it lacks here ("" where nothing)."""
    if name in BASELINES:
        return BASELINES[name], ""
    if name == YARDSTICK:
        return _yardstick, "" if WEIGHTS.is_dir() else "its weights are not beside the data"
    entry = PROMPT_MODELS[name]
    path = find(CATALOGUE[entry.weights]) if entry.weights else None
    absent = [package for package in entry.packages if importlib.util.find_spec(package) is None]
    missing = f"needs {', '.join(absent)}" if absent else "its weights are not here"
    return lambda: entry.factory(path), missing if absent or (entry.weights and path is None) else ""


def _yardstick() -> PromptModel:
    from benchmarks.tracer import TracerYardstick

    return TracerYardstick(WEIGHTS)


@dataclass(frozen=True)
class PromptTask:
    """What is measured."""

    set: str
    method: str
    seed: int
    size: Size


def measure(task: PromptTask, model: PromptModel, cases: list[PromptCase]) -> list[Row]:
    """Every metric of one model on one set, as means over the objects; times as medians."""
    start = time.perf_counter()
    values: dict[str, list[float]] = defaultdict(list)
    for n, case in enumerate(cases):
        begin = time.process_time()
        embedding = model.encode(case.image)
        encoding = 1000 * (time.process_time() - begin)
        click_curve(model, embedding, case, task.size, values)
        values["cpu-ms first"][-1] += encoding
        sampled_clicks(model, embedding, case, (task, n), values)
        values["box"].append(iou(model.predict(embedding, box_of(case.truth)).mask, case))
        strokes(model, embedding, case, (task, n), values)
    seconds = time.perf_counter() - start
    return [
        Row(
            task.set, task.method, metric,
            float(np.median(found) if metric.startswith("cpu") else np.mean(found)),
            len(cases), task.seed, seconds,
        )
        for metric, found in values.items()
    ]  # fmt: skip


def click_curve(
    model: PromptModel, embedding: Embedding, case: PromptCase, size: Size, values: dict[str, list[float]]
) -> None:
    """Centre clicks from an empty mask until the curve is complete and 0.9 is reached."""
    prompts: Prompts | None = Prompts()
    mask = np.zeros_like(case.truth)
    reached: list[float] = []
    while len(reached) < size.clicks or (len(reached) < size.most_clicks and max(reached) < 0.9):
        if prompts is not None:
            prompts = next_click(prompts, mask, case)
        if prompts is not None:  # else all is right and nobody clicks any more
            begin = time.process_time()
            prediction = model.predict(embedding, correcting(prompts, mask))
            spent = 1000 * (time.process_time() - begin)
            values["cpu-ms next" if reached else "cpu-ms first"].append(spent)
            mask = prediction.mask
            if not reached:
                values["best@1"].append(max(iou(m, case) for m in prediction.masks))
        reached.append(iou(mask, case))
        if len(reached) <= size.clicks:
            values[f"iou@{len(reached)}"].append(reached[-1])
    for goal in (85, 90):
        hits = [k for k, score in enumerate(reached, 1) if score >= goal / 100]
        values[f"noc{goal}"].append(hits[0] if hits else size.most_clicks)
        values[f"failed{goal}"].append(not hits)


def sampled_clicks(
    model: PromptModel,
    embedding: Embedding,
    case: PromptCase,
    which: tuple[PromptTask, int],
    values: dict[str, list[float]],
) -> None:
    """Clicks where people's fall: more often deep inside, but anywhere. Mean and worst over the repeats."""
    task, number = which
    runs = []
    for repeat in range(REPEATS):
        rng = np.random.default_rng((task.seed, number, repeat))
        prompts, mask, scores = Prompts(), np.zeros_like(case.truth), []
        for _ in range(task.size.sampled):
            prompts = next_click(prompts, mask, case, rng) or prompts
            mask = model.predict(embedding, correcting(prompts, mask)).mask
            scores.append(iou(mask, case))
        runs.append(scores)
    for k, repeats in enumerate(zip(*runs, strict=True), 1):
        values[f"sampled@{k}"].append(float(np.mean(repeats)))
        values[f"worst@{k}"].append(min(repeats))


def strokes(
    model: PromptModel,
    embedding: Embedding,
    case: PromptCase,
    which: tuple[PromptTask, int],
    values: dict[str, list[float]],
) -> None:
    """Dice from two lines in the object and one beside it, and after some lines more where it is most wrong."""
    task, number = which
    rng = np.random.default_rng((task.seed, number, REPEATS))
    prompts = scribbles_of(case.truth, rng)
    mask = model.predict(embedding, prompts).mask
    values["scribble"].append(dice(mask, case))
    for _ in range(task.size.strokes):
        prompts = corrected_scribbles(prompts, mask, case, rng)
        mask = model.predict(embedding, correcting(prompts, mask)).mask
    if task.size.strokes:
        values[f"scribble+{task.size.strokes}"].append(dice(mask, case))


def speed(method: str, data: Path) -> list[Row]:
    """Wall times on 512 x 512 and peak memory, from a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.prompt_speed", method, "--data", str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{method}: no times, {(done.stderr.strip().splitlines() or ['it ended without a word'])[-1]}")
        return []
    return [Row(**row) for row in json.loads(done.stdout)]


def read(file: Path) -> list[Row]:
    """The rows of a file written with --json."""
    return [Row(**entry) for entry in json.loads(file.read_text(encoding="utf-8")) if "machine" not in entry]


if __name__ == "__main__":
    main()
