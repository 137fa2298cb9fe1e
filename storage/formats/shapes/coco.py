"""COCO's annotation file: run-length masks that pycocotools reads. Arrays in, JSON-able dicts out."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from scipy import ndimage

from storage.arrays import BACKGROUND, MAX_CLASS

Category = dict[str, Any]
TOUCHING = np.ones((3, 3), int)  # pixels that share a corner belong to one object


def categories(classes: Sequence[tuple[int, str, str]]) -> list[Category]:
    """Of number, name and colour."""
    return [
        {"id": number, "name": name, "supercategory": "object", "color": color}
        for number, name, color in classes
    ]


def annotations(
    classes: NDArray[np.uint8], instances: NDArray[np.uint16] | None, *, image_id: int, first_id: int
) -> list[dict[str, Any]]:
    """One annotation per object number of a class; per connected part of what has no number. (H, W) both."""
    found = []
    for number, (class_id, _, rows, columns) in enumerate(objects_in(classes, instances)):
        found.append(
            {
                "id": first_id + number,
                "image_id": image_id,
                "category_id": class_id,
                "iscrowd": 0,
                **_shape(rows, columns, classes.shape),
            }
        )
    return found


ObjectPixels = tuple[int, int, NDArray[np.intp], NDArray[np.intp]]  # class, number or 0, rows, columns


def objects_in(classes: NDArray[np.uint8], instances: NDArray[np.uint16] | None) -> Iterator[ObjectPixels]:
    """Each object number of a class, and each connected part of what has none. (H, W) both."""
    numbers = np.zeros(classes.shape, np.uint16) if instances is None else instances
    for class_id in np.unique(classes).tolist():
        if not BACKGROUND < class_id <= MAX_CLASS:
            continue
        inside = classes == class_id
        yield from ((class_id, *p) for p in _parts(np.where(inside, numbers, 0)))
        parts, _ = ndimage.label(inside & (numbers == 0), TOUCHING)
        yield from ((class_id, 0, rows, columns) for _, rows, columns in _parts(parts))


def _parts(numbers: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Every number above 0 with its rows and columns."""
    for index, box in enumerate(ndimage.find_objects(numbers.astype(np.int32)), start=1):
        if box is not None:
            rows, columns = np.nonzero(numbers[box] == index)
            yield index, rows + box[0].start, columns + box[1].start


def _shape(rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]) -> dict[str, Any]:
    top, left = int(rows.min()), int(columns.min())
    box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]  # x, y, width, height
    return {"segmentation": run_lengths(rows, columns, size), "area": len(rows), "bbox": box}


def run_lengths(rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]) -> dict[str, Any]:
    """COCO's own packed run lengths of these pixels."""
    height, width = size
    packed = rle.frPyObjects({"counts": _counts(rows, columns, size), "size": [height, width]}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def drawn(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) of polygons or run lengths, by COCO's own rules. Raises ValueError for anything else."""
    height, width = size
    if isinstance(segmentation, dict):
        packed = segmentation
        if isinstance(segmentation.get("counts"), list):
            packed = rle.frPyObjects(segmentation, height, width)
        if list(packed["size"]) != [height, width]:
            raise ValueError("run lengths of another size")
    else:
        packed = rle.merge(rle.frPyObjects([[float(v) for v in one] for one in segmentation], height, width))
    return np.asarray(rle.decode(packed), bool)


def _counts(rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]) -> list[int]:
    """Lengths of runs outside, inside, outside ... down the columns, as COCO counts."""
    flat = np.sort(columns * size[0] + rows)
    jumps = np.flatnonzero(np.diff(flat) > 1)
    starts = flat[np.concatenate([[0], jumps + 1])]
    ends = flat[np.concatenate([jumps, [len(flat) - 1]])] + 1
    edges = np.column_stack([starts, ends]).ravel()
    counts: list[int] = np.diff(np.concatenate([[0], edges, [size[0] * size[1]]])).tolist()
    return counts
