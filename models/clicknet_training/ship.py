"""Write a run's averaged weights, or the mean of several runs', as the file that is shipped: fp16 safetensors."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.clicknet.adapter import halved


def ship(checkpoints: Sequence[Path], out: Path) -> None:
    """Runs that went on from the same weights are averaged (Wortsman et al., 2022).

    On two processor cores, two runs of other seeds do the work of one that is twice as long.
    """
    states = [torch.load(path, map_location="cpu", weights_only=True)["average"] for path in checkpoints]
    save_file(halved({name: _mean([state[name] for state in states]) for name in states[0]}), out)


def _mean(values: Sequence[Tensor]) -> Tensor:
    """Counters, which are integers, are the first one's."""
    return torch.stack(tuple(values)).mean(0) if values[0].is_floating_point() else values[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.clicknet_training.ship", description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of one run, or of several from one start")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    ship(given.checkpoints, given.out)


if __name__ == "__main__":
    main()
