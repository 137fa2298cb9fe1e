"""How good a mask is after how many clicks, from a box and from strokes: every prompt model against classical tools.

    python -m benchmarks.prompt [--quick] [--data FOLDER] [--seeds N] [--cases N] [--json FILE]
                                 [--models a,b] [--sets a,b]

Clicks follow the RITM rule (deepest point of the deepest error region) and a sampled variant, since people do not click
the centre. Objects come from validation splits; single volumes have none, there other slices are drawn for each seed.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import cv2
import numpy as np

from benchmarks.baselines import BASELINES
from benchmarks.clicks import box_of, dice, iou, next_click, scribbles_of
from benchmarks.prompt_cases import SETS, Case, Draw
from models import PROMPT_MODELS
from models.prompt import Embedding, PromptModel, Prompts
from models.weights import CATALOGUE, find

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("box", "iou@1", "best@1", "iou@2", "iou@3", "iou@5", "iou@10", "noc85", "noc90", "failed90", "sampled@1",
         "sampled@3", "scribble", "cpu-ms first", "cpu-ms next")  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    cases: int  # objects a set and seed
    clicks: int  # for the curve
    most_clicks: int  # until an IoU of 0.9
    sampled: int  # clicks of the sampled variant


QUICK = Size(cases=4, clicks=5, most_clicks=5, sampled=3)
FULL = Size(cases=40, clicks=10, most_clicks=20, sampled=3)


@dataclass(frozen=True)
class Row:
    """The mean of one metric over the objects of one set."""

    set: str
    method: str
    metric: str
    value: float
    n: int
    seed: int
    seconds: float


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    cv2.setNumThreads(1)
    rows: list[Row] = []
    models = dict(chosen_models(options.models))
    size = QUICK if options.quick else FULL
    size = replace(size, cases=options.cases or size.cases)
    for name in options.sets or SETS:
        if not options.data.is_dir():
            sys.exit(f"there is no folder {options.data}; give one with --data")
        for seed in range(options.seeds):
            cases = SETS[name](Draw(options.data, "val", size.cases, seed))
            for method, model in models.items():
                rows += measure(name, method, model, cases, size, seed)
        print(table(row for row in rows if row.set == name), flush=True)
    print(table(rows))
    if options.json:
        content = [asdict(row) for row in rows] + [{"machine": machine()}]
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "benchmarks.prompt", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few objects a set, one seed, within five minutes"
    )
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of data sets"
    )
    parser.add_argument("--seeds", type=int, help="repetitions with other objects and clicks (3, quick: 1)")
    parser.add_argument("--cases", type=int, help="objects a set and seed (40, quick: 4)")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    parser.add_argument("--models", help="comma-separated: " + ", ".join([*PROMPT_MODELS, *BASELINES]))
    parser.add_argument(
        "--sets", type=lambda text: text.split(","), help="comma-separated: " + ", ".join(SETS)
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.sets or ()) - SETS.keys():
        parser.error(f"no data set is called {', '.join(sorted(unknown))}; there are {', '.join(SETS)}")
    options.seeds = options.seeds or (1 if options.quick else 3)
    return options


def chosen_models(names: str | None) -> Iterator[tuple[str, PromptModel]]:
    """The models asked for, else every one that can run here, and the classical tools."""
    wanted = names.split(",") if names else [*PROMPT_MODELS, *BASELINES]
    for name in wanted:
        if name in BASELINES:
            yield name, BASELINES[name]()
            continue
        if name not in PROMPT_MODELS:
            sys.exit(f"no model is called {name}; there are {', '.join([*PROMPT_MODELS, *BASELINES])}")
        entry = PROMPT_MODELS[name]
        path = find(CATALOGUE[entry.weights]) if entry.weights else None
        missing = [package for package in entry.packages if importlib.util.find_spec(package) is None]
        if (entry.weights and path is None) or missing:
            print(
                f"{name}: left out, {'needs ' + ', '.join(missing) if missing else 'its weights are not here'}"
            )
            continue
        yield name, entry.factory(path)


def measure(
    set_name: str, method: str, model: PromptModel, cases: list[Case], size: Size, seed: int
) -> list[Row]:
    """Every metric of one model on one set, as means over the objects."""
    start = time.perf_counter()
    values: dict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng(1000 + seed)
    for case in cases:
        begin = time.process_time()
        embedding = model.encode(case.image)
        encoding = 1000 * (time.process_time() - begin)
        click_curve(model, embedding, case, size, values)
        values["cpu-ms first"][-1] += encoding
        for k, score in enumerate(sampled_curve(model, embedding, case, size.sampled, rng), 1):
            values[f"sampled@{k}"].append(score)
        values["box"].append(iou(model.predict(embedding, box_of(case.truth)).mask, case.truth))
        strokes = scribbles_of(case.truth, rng)
        values["scribble"].append(dice(model.predict(embedding, strokes).mask, case.truth))
    seconds = time.perf_counter() - start
    middle = {"cpu-ms first": np.median, "cpu-ms next": np.median}
    return [
        Row(set_name, method, metric, float(middle.get(metric, np.mean)(found)), len(found), seed, seconds)
        for metric, found in values.items()
    ]


def click_curve(
    model: PromptModel, embedding: Embedding, case: Case, size: Size, values: dict[str, list[float]]
) -> None:
    """Centre clicks until the curve is complete and 0.9 is reached."""
    prompts, mask = Prompts(), np.zeros_like(case.truth)
    reached: list[float] = []
    while len(reached) < size.clicks or (len(reached) < size.most_clicks and max(reached) < 0.9):
        prompts = next_click(prompts, mask, case.truth, None)
        begin = time.process_time()
        prediction = model.predict(embedding, prompts)
        values["cpu-ms next" if reached else "cpu-ms first"].append(1000 * (time.process_time() - begin))
        mask = prediction.mask
        if not reached:
            values["best@1"].append(max(iou(m, case.truth) for m in prediction.masks))
        reached.append(iou(mask, case.truth))
        if len(reached) <= size.clicks:
            values[f"iou@{len(reached)}"].append(reached[-1])
    for goal in (85, 90):
        hits = [k for k, score in enumerate(reached, 1) if score >= goal / 100]
        values[f"noc{goal}"].append(hits[0] if hits else size.most_clicks)
        values[f"failed{goal}"].append(not hits)


def sampled_curve(
    model: PromptModel, embedding: Embedding, case: Case, clicks: int, rng: np.random.Generator
) -> list[float]:
    """IoU after each of some clicks that fall where people's do: more often deep inside, but anywhere."""
    prompts, mask, scores = Prompts(), np.zeros_like(case.truth), []
    for _ in range(clicks):
        prompts = next_click(prompts, mask, case.truth, rng)
        mask = model.predict(embedding, prompts).mask
        scores.append(iou(mask, case.truth))
    return scores


def table(rows: Iterable[Row]) -> str:
    """A line for each set and method, the mean over seeds; with several sets also their mean for each method."""
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.set, row.method][row.metric].append(row.value)
        found["mean of sets", row.method][row.metric].append(row.value)
    if len({name for name, _ in found}) == 2:
        found = {key: value for key, value in found.items() if key[0] != "mean of sets"}  # type: ignore[assignment]
    names = [metric for metric in SHOWN if any(metric in metrics for metrics in found.values())]
    lines = [f"{'set':16}{'method':16}" + "".join(f"{name:>13}" for name in names)]
    for (name, method), metrics in sorted(found.items(), key=lambda item: item[0][0] == "mean of sets"):
        cells = "".join(cell(metric, metrics.get(metric)) for metric in names)
        lines.append(f"{name:16}{method:16}" + cells)
    return "\n".join(lines) + "\n"


def cell(metric: str, values: list[float] | None) -> str:
    """A number in as many digits as it deserves."""
    digits = 0 if metric.startswith("cpu") else 2 if metric.startswith(("noc", "failed")) else 3
    return f"{np.mean(values):>13.{digits}f}" if values else " " * 13


def machine() -> dict[str, str | int | float]:
    """What the numbers were measured on, with the peak of memory in MB where the system tells it."""
    facts: dict[str, str | int | float] = {
        "date": date.today().isoformat(),
        "system": platform.platform(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
    }
    if importlib.util.find_spec("resource"):
        import resource

        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        facts["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    return facts


if __name__ == "__main__":
    main()
