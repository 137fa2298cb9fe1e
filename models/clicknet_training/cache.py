"""All items in two flat arrays and a table, made once: training reads them memory-mapped."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.clicknet_training.sources import Item, read_all

SMALLEST = 20  # pixels an object needs


@dataclass(frozen=True)
class CacheItem:
    """Where an item lies in the arrays, and its objects as (label, area, r0, c0, r1, c1)."""

    set: str
    name: str
    split: str
    shape: tuple[int, int, int]
    pixels_at: int
    labels_at: int
    objects: tuple[tuple[int, int, int, int, int, int], ...]


class Cache:
    """Items by position. The table says what they are."""

    def __init__(self, folder: Path) -> None:
        self._pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        self._labels = np.load(folder / "labels.npy", mmap_mode="r")
        rows = json.loads((folder / "table.json").read_text())
        self.entries = [
            CacheItem(r["set"], r["name"], r["split"], tuple(r["shape"]), r["pixels_at"], r["labels_at"],
                  tuple(tuple(o) for o in r["objects"]))
            for r in rows
        ]  # fmt: skip

    def pixels(self, entry: CacheItem) -> NDArray[np.uint8]:
        """(H, W, C)"""
        size = entry.shape[0] * entry.shape[1] * entry.shape[2]
        pixels: NDArray[np.uint8] = self._pixels[entry.pixels_at : entry.pixels_at + size]
        return pixels.reshape(entry.shape)

    def labels(self, entry: CacheItem) -> NDArray[np.uint16]:
        """(H, W)"""
        size = entry.shape[0] * entry.shape[1]
        labels: NDArray[np.uint16] = self._labels[entry.labels_at : entry.labels_at + size]
        return labels.reshape(entry.shape[:2])


def open_cache(data: Path, folder: Path) -> Cache:
    """Build the cache where it is missing (about a minute), then open it."""
    if not (folder / "table.json").exists():
        _build(data, folder)
    return Cache(folder)


def _build(data: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows, pixels, labels = [], [], []
    at = [0, 0]
    for item in read_all(data):
        objects = _objects(item)
        if not objects:
            continue
        rows.append(
            dict(set=item.set, name=item.name, split=item.split, shape=item.pixels.shape,
                 pixels_at=at[0], labels_at=at[1], objects=objects)
        )  # fmt: skip
        pixels.append(item.pixels.reshape(-1))
        labels.append(item.labels.reshape(-1))
        at = [at[0] + item.pixels.size, at[1] + item.labels.size]
    if not rows:
        raise FileNotFoundError(
            f"no training set was found in {data}; give the folder that holds them with --data"
        )
    np.save(folder / "pixels.npy", np.concatenate(pixels))
    np.save(folder / "labels.npy", np.concatenate(labels))
    (folder / "table.json").write_text(json.dumps(rows))


def _objects(item: Item) -> list[tuple[int, int, int, int, int, int]]:
    areas = np.bincount(item.labels.reshape(-1))
    found = ndimage.find_objects(item.labels)
    return [
        (value, int(areas[value]), place[0].start, place[1].start, place[0].stop, place[1].stop)
        for value, place in enumerate(found, 1)
        if place is not None and areas[value] >= SMALLEST
    ]
