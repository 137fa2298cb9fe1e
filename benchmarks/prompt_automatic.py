"""Find objects: what the built-in model proposes of nuclei pictures of which nothing is labelled.

    python -m benchmarks.prompt_automatic [--data FOLDER] [--pictures N]

Pictures of the validation split. A nucleus is found where a mask has an IoU above 0.5 with it. `right` is the share of
the masks that are nuclei, `found` the share of the nuclei that have a mask.
"""

import argparse
import csv
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from benchmarks.common import DATA
from learners.propagate.contract import as_bytes
from models import PromptChoice, opened
from models.automatic_masks import FoundObject, GoOn, automatic_masks

SECONDS = 180.0  # as in the app
MOST = 80  # nuclei of a picture


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of data sets")
    parser.add_argument("--pictures", type=int, default=8)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model, folder = opened(PromptChoice()), options.data / "dsb2018-nuclei"
    print(
        "| picture | nuclei | masks | right | found | clicks' seconds |\n| --- | --- | --- | --- | --- | --- |"
    )
    totals = np.zeros(3, int)
    for name in _names(folder, options.pictures):
        picture, truth = _picture(folder / "images" / name), _truth(folder, name)
        began = time.monotonic()
        masks = automatic_masks(picture, model, np.ones(truth.shape, bool), until(began + SECONDS))
        seconds, hits = time.monotonic() - began, _hits(masks, truth)
        counts = np.array([len(np.unique(truth)) - 1, len(masks), hits])
        totals += counts
        print(_line(Path(name).stem, counts, f"{seconds:.0f}"), flush=True)
    print(_line("all", totals, ""))


def until(end: float) -> GoOn:
    return lambda share: time.monotonic() < end


def _line(name: str, counts: NDArray[np.int_], seconds: str) -> str:
    nuclei, masks, hits = counts.tolist()
    right, found = hits / max(1, masks), hits / max(1, nuclei)
    return f"| {name} | {nuclei} | {masks} | {right:.2f} | {found:.2f} | {seconds} |"


def _names(folder: Path, count: int) -> list[str]:
    rows = list(csv.DictReader((folder / "split.csv").open()))
    names = np.random.default_rng(0).permutation([row["file"] for row in rows if row["split"] == "val"])
    return [name for name in names.tolist() if len(np.unique(_truth(folder, name))) <= MOST][:count]


def _picture(path: Path) -> NDArray[np.uint8]:
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read is not None
    if read.ndim == 3:
        return np.ascontiguousarray(read[..., 2::-1])
    return np.repeat(as_bytes(read)[..., None], 3, 2)


def _truth(folder: Path, name: str) -> NDArray[np.int32]:
    """(H, W) numbers of nuclei."""
    path = next((folder / "labels").glob(f"{Path(name).stem}.*"))
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read is not None
    first = read if read.ndim == 2 else read[..., 0]
    return (label(first > 0)[0] if first.max() in (1, 255) else first).astype(np.int32)


def _hits(masks: list[FoundObject], truth: NDArray[np.int32]) -> int:
    """How many nuclei have a mask; no IoU above a half can be had by two."""
    sizes = np.bincount(truth.ravel())
    count = 0
    for one in masks:
        inside = np.bincount(truth[one.rows, one.columns][one.mask], minlength=len(sizes))
        inside[0] = 0
        best = int(inside.argmax())
        count += 2 * int(inside[best]) > one.area + int(sizes[best]) - int(inside[best])
    return count


if __name__ == "__main__":
    main()
