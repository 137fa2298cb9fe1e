"""The prompt benchmark's rows as a table: a line for each set and method, mean and spread over the seeds."""

from collections.abc import Iterable

import numpy as np

from benchmarks.common import Row

SHOWN = ("box", "iou@1", "best@1", "iou@2", "iou@3", "iou@5", "iou@10", "noc85", "failed85", "noc90", "failed90",
         "sampled@1", "worst@1", "sampled@3", "worst@3", "scribble", "scribble+2", "cpu-ms first", "cpu-ms next",
         "ms first", "ms next", "ms box", "peak MB")  # fmt: skip
MEAN = "mean of sets"
SPEED = "512x512"  # the set under which times and memory are written
TableCells = dict[str, list[tuple[float, float]]]  # of a line, by metric: mean and spread of each set in it


def table(rows: Iterable[Row]) -> str:
    """For a terminal: means."""
    lines = []
    for head, body in _blocks(rows):
        lines.append(f"{'set':16}{'method':18}" + "".join(f"{name:>13}" for name in head))
        for (name, method), cells in body:
            lines.append(f"{name:16}{method:18}" + "".join(f"{_number(m, cells, ''):>13}" for m in head))
        lines.append("")
    return "\n".join(lines)


def markdown(rows: Iterable[Row]) -> str:
    """For a document: mean ± standard deviation over the seeds, where there are several."""
    lines = []
    for head, body in _blocks(rows):
        lines.append("| set | method | " + " | ".join(head) + " |")
        lines.append("| --- | --- |" + " --- |" * len(head))
        for (name, method), cells in body:
            lines.append(
                f"| {name} | {method} | " + " | ".join(_number(m, cells, " ± ") for m in head) + " |"
            )
        lines.append("")
    return "\n".join(lines)


def _blocks(rows: Iterable[Row]) -> list[tuple[list[str], list[tuple[tuple[str, str], TableCells]]]]:
    """Quality, with the mean of sets last, and apart from it speed and memory."""
    rows = list(rows)
    blocks = []
    for part in ([r for r in rows if r.set != SPEED], [r for r in rows if r.set == SPEED]):
        if part:
            lines = _lines(part)
            head = [metric for metric in SHOWN if any(metric in cells for _, cells in lines)]
            blocks.append((head, lines))
    return blocks


def _lines(rows: list[Row]) -> list[tuple[tuple[str, str], TableCells]]:
    by_line: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        by_line.setdefault((row.set, row.method), {}).setdefault(row.metric, []).append(row.value)
    lines: list[tuple[tuple[str, str], TableCells]] = [
        (key, {metric: [(float(np.mean(v)), float(np.std(v)))] for metric, v in metrics.items()})
        for key, metrics in by_line.items()
    ]
    sets = {name for name, _ in by_line}
    for method in dict.fromkeys(method for _, method in by_line):
        own = [cells for (_, name), cells in lines if name == method]
        if len(sets) > 1 and len(own) == len(sets):  # a mean over other sets would not compare
            whole = {metric: [cell for cells in own for cell in cells.get(metric, [])] for metric in own[0]}
            lines.append(((MEAN, method), whole))
    return lines


def _number(metric: str, cells: TableCells, between: str) -> str:
    """In as many digits as it deserves."""
    if metric not in cells:
        return ""
    digits = 0 if "ms" in metric or "MB" in metric else 2 if metric.startswith(("noc", "failed")) else 3
    mean, spread = (float(np.mean([cell[n] for cell in cells[metric]])) for n in (0, 1))
    return f"{mean:.{digits}f}" + (f"{between}{spread:.{digits}f}" if between and spread else "")
