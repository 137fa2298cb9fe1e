"""Processor milliseconds of a step outside the network; on a GPU also what it gets done.

    python -m benchmarks.device [--quick] [--device cpu|cuda] [--part stages|steps|predict|refresh|learners]

`stages` runs everywhere. On a processor it runs twice: as it is, with all of the device's work, and with patches of a
few voxels, where work is nothing, so that what a processor does beside a GPU is left: to draw, decide and launch.
With `--device cuda` all parts run, in ten minutes: steps a second and utilisation of each learner, voxels predicted a
second, seconds from a label to its proposals, and Dice of all learners over three seeds.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.common import Row, finish, parser
from benchmarks.device.stages import stages
from benchmarks.device.throughput import learners, predictions, refresh, steps

PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "steps": steps,
    "predict": predictions,
    "refresh": refresh,
    "learners": learners,
}


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options.add_argument(
        "--part", action="append", choices=("stages", *PARTS), help="default: stages, with a GPU all"
    )
    asked = options.parse_args()
    wanted = asked.part or (["stages", *PARTS] if asked.device == "cuda" else ["stages"])
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if "stages" in wanted:
            rows += stages(Path(folder), asked.device, quick=asked.quick)
        for name in PARTS:
            for row in PARTS[name](Path(folder), asked) if name in wanted else ():
                print(f"{row.set}: {row.method}, {row.metric} {row.value:.3g}", flush=True)
                rows.append(row)
    finish(rows, asked.json)


if __name__ == "__main__":
    main()
