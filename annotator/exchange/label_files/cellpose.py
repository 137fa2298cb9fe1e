"""Cellpose's `NAME_seg.npy`. It is a pickle, which could run anything: only arrays and plain values are let in."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from annotator.exchange.label_files.contract import OBJECT, FileClass, LabelFile, SaidOfImage
from storage.formats import FileRefused, Grid
from storage.formats.base import label_values

ENDING = "_seg.npy"
MOST_BYTES = 4 << 30
MOST_NUMBER = 65535
ARRAYS = {"_reconstruct", "scalar", "_frombuffer"}  # of NumPy: what arrays are made of


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        of_arrays = module.startswith(("numpy._core.", "numpy.core.")) and name in ARRAYS
        if of_arrays or (module == "numpy" and name in ("ndarray", "dtype")):
            return super().find_class(module, name)
        raise FileRefused("it holds more than arrays, which could run a program; save its masks as TIFF")


class CellposeFile(LabelFile):
    classes = {1: FileClass(OBJECT)}

    def own_name(self) -> str:
        return self.path.name[: -len(ENDING)]

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        masks = np.asarray(_content(self.path)["masks"])
        masks = masks[None] if masks.ndim == 2 else masks
        if masks.shape != grid.display_shape:
            raise FileRefused(
                f"its masks are {_times(masks.shape)} and the image {_times(grid.display_shape)}"
            )
        numbers = label_values(masks)
        if numbers.max() > MOST_NUMBER:
            raise FileRefused(f"it numbers objects beyond {MOST_NUMBER:,}; number them anew")
        return SaidOfImage((numbers > 0).astype(np.uint16), numbers.astype(np.uint16))


def open_cellpose(path: Path) -> CellposeFile | None:
    return CellposeFile(path)


def _content(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_BYTES:
        raise FileRefused(f"it is larger than {MOST_BYTES >> 30} GB; save its masks as TIFF")
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        read(file)
        found = _ArraysOnly(file).load()
    content = found.item() if isinstance(found, np.ndarray) else found
    if not isinstance(content, dict) or "masks" not in content:
        raise FileRefused("it holds no masks; is it one of Cellpose's?")
    return content


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
