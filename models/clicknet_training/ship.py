"""Write a checkpoint's averaged weights as the file that is shipped: fp16 safetensors."""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file


def ship(checkpoint: Path, out: Path) -> None:
    """Kernels are halved; biases and norms, a hundredth of the file, keep their precision."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    halves = {name: value.half().contiguous() if value.ndim > 1 else value for name, value in state.items()}
    save_file(halves, out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.clicknet_training.ship", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    ship(given.checkpoint, given.out)


if __name__ == "__main__":
    main()
