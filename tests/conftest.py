"""What every test shares: a fresh project, a small volume with known truth, and no network settings of the user."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many test processes run as there are cores
os.environ["SLICEWISE_OFFLINE"] = "1"  # no test fetches a checkpoint from the internet
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.arrays import Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store
from tests.support.chromium import (  # noqa: F401  fixtures of tests that look at the page
    browser,
    launch,
    page,
    same_context,
    server,
    watch,
)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "project")
    yield store
    store.close()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The same numbers on any machine, and no worker waits for another's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real images with ground truth."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real images, ../shared/data, is not there")
    return folder


def ball(shape: tuple[int, int, int] = (9, 17, 23), seed: int = 0) -> tuple[Scan, NDArray[np.uint8]]:
    """An off-centre bright ball in noise, with its truth (Z, Y, X) of 0 and 1."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    truth = ((z - 4) ** 2 * 4 + (y - 7) ** 2 + (x - 9) ** 2 < 36).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(0, 8, shape)
    pixels = np.clip(60 + 120 * truth + noise, 0, 255).astype(np.uint8)
    marks = (("S", "I"), ("A", "P"), ("R", "L"))
    return Scan("ball", pixels, spacing_mm=(2.0, 1.0, 1.0), marks=marks), truth


def drawn(
    ref: SliceRef, classes: NDArray[np.uint8], *, at: tuple[int, int] = (0, 0), author: str = "ann"
) -> NewLabel:
    """A label event that says `classes` (h, w) with its corner at (row, column)."""
    box = Box(at[0], at[1], at[0] + classes.shape[0], at[1] + classes.shape[1])
    return NewLabel(ref, Patch(box, classes), uuid.uuid4().hex, author)
