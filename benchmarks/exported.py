"""Peak memory and time of an exported model's predict.py on a scan of 512 x 512 x 400 voxels.

The network has the app's own shape and random weights: they change neither memory nor time. `--quick`: 40 slices.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from annotator.learning.exporting.packing import pack_program
from benchmarks.common import Row, finish, parser
from learners.training.checkpoint import Card, save_model
from learners.training.state import TrainingState
from models.networks import NETWORKS, NetworkSpec, UNet, strides_for

SIDE, SLICES, QUICK_SLICES = 512, 400, 40
SPACING = (0.8, 0.8, 1.0)  # of the scan, x y z in mm


def main() -> None:
    options = parser("Memory and time of predict.py on a large scan").parse_args()
    slices = QUICK_SLICES if options.quick else SLICES
    with tempfile.TemporaryDirectory() as place:
        scan = save_scan(Path(place) / "scan.nii.gz", slices)
        finish([row for dims in (2, 3) for row in measure(Path(place), scan, dims, slices)], options.json)


def save_scan(path: Path, slices: int) -> Path:
    """Noise in ramps, int16, packed as scanners' exports are."""
    rng = np.random.default_rng(0)
    pixels = np.empty((SIDE, SIDE, slices), np.int16)
    for index in range(slices):
        pixels[..., index] = rng.integers(-1000, 1000, (SIDE, 1), np.int16) + index
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])), path)
    return path


def save_network(folder: Path, dims: int) -> None:
    """As the app plans it for such scans on a processor, with three classes."""
    folder.mkdir()
    torch.manual_seed(0)
    widths = NETWORKS["unet-s"][dims]
    spacing = SPACING[::-1][3 - dims :]
    strides = strides_for(spacing, (32,) * dims, len(widths))
    spec = NetworkSpec(dims, 1, 4, widths, strides)
    save_model(folder, TrainingState.fresh(UNet(spec)), Card(spec, (1, 2, 3), spacing, "supervised"))
    pack_program(folder)


def measure(place: Path, scan: Path, dims: int, slices: int) -> Iterator[Row]:
    folder, out = place / f"model-{dims}d", place / f"masks-{dims}d"
    save_network(folder, dims)
    started = time.monotonic()
    command = [sys.executable, str(folder / "predict.py"), str(scan), str(out), "--device", "cpu"]
    peak = peak_megabytes(command)
    seconds = time.monotonic() - started
    mask: Any = nibabel.load(out / "scan.nii.gz")
    assert mask.shape == (SIDE, SIDE, slices)
    scan_name = f"{SIDE}x{SIDE}x{slices}"
    yield Row(scan_name, f"{dims}D", "peak MB", round(peak), seconds=seconds)
    yield Row(scan_name, f"{dims}D", "seconds", round(seconds, 1))


def peak_megabytes(command: list[str]) -> float:
    """The largest resident size of this one process. Raises CalledProcessError where it fails."""
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
