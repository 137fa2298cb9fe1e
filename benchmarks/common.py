"""What the benchmarks share: their options, rows, a table, and a line about the machine."""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Row:
    """One number. `seconds` is how long it took to get it, 0 where that says nothing."""

    set: str
    method: str
    metric: str
    value: float
    n: int = 1
    seed: int = 0
    seconds: float = 0.0


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    out = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    out.add_argument(
        "--quick", action="store_true", help="fewer cases, every method; within 5 minutes on 2 cores"
    )
    out.add_argument(
        "--data", type=Path, default=DATA, help="folder of data sets in the layout of ../shared/data"
    )
    out.add_argument("--seeds", type=int, default=3)
    out.add_argument("--json", type=Path, help="write the rows here")
    return out


def choosing(description: str, cases: int) -> argparse.ArgumentParser:
    """The options of what chooses a prompt model's numbers on `cases` objects of each set."""
    out = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    out.add_argument("--data", type=Path, default=DATA, help="folder of data sets")
    out.add_argument("--cases", type=int, default=cases, help="objects a set")
    out.add_argument(
        "--split", choices=("train", "val"), default="train", help="val: to report, never to choose"
    )
    out.add_argument("--weights", type=Path, help="of the network, instead of the shipped ones")
    return out


def machine() -> dict[str, Any]:
    """Date, machine and commit: what a number is worth only beside."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(psutil.getloadavg()[0], 1),
        "commit": commit.stdout.strip(),
    }


def finish(rows: Sequence[Row], json_file: Path | None) -> None:
    """Print the table; write the rows and the machine where a file was asked for."""
    about = machine()
    print(table(rows))
    print("machine: " + machine_line(about))
    if json_file:
        write(rows, about, json_file)


def machine_line(about: dict[str, Any] | None = None) -> str:
    return ", ".join(f"{key} {value}" for key, value in (about or machine()).items())


def write(rows: Sequence[Row], about: dict[str, Any], json_file: Path) -> None:
    """A line of JSON for the machine and for each row."""
    json_file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(entry) for entry in [{"machine": about}, *(asdict(row) for row in rows)]]
    json_file.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def peak_memory_mb() -> float:
    """The most that this process has held so far."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return memory.peak_wset / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # Linux: ru_maxrss begins with what the parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS says bytes


def table(rows: Iterable[Row]) -> str:
    """Rows as Markdown: a line per set and method, a column per metric, means over seeds."""
    rows = list(rows)
    metrics = list(dict.fromkeys(row.metric for row in rows))
    lines = ["| set | method | " + " | ".join(metrics) + " |", "| --- | --- |" + " --- |" * len(metrics)]
    for key in dict.fromkeys((row.set, row.method) for row in rows):
        cells = (
            _mean([r.value for r in rows if (r.set, r.method) == key and r.metric == m]) for m in metrics
        )
        lines.append(f"| {key[0]} | {key[1]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(-(-share * len(ordered) // 1)) - 1))]


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.4g}" if values else ""


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
