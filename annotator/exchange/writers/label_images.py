"""Label images of object numbers, with the images: Cellpose's files beside each other, StarDist's folders."""

import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries
from tifffile import imwrite

from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from storage.arrays import open_npy, write_bytes
from storage.rows import ClassRow

CLASSES_LOST = "{} knows one kind of object; objects.csv says the class of each"


@dataclass(frozen=True)
class NumberedObjects:
    """Every object of an image under a number of its own; connected parts of what has none get one."""

    values: NDArray[np.unsignedinteger]  # (Z, Y, X) uint16, uint32 where there are more
    classes: dict[int, int]  # number -> class


def numbered(image: LabelledImage) -> NumberedObjects:
    own = np.zeros(image.known.shape, np.uint16) if image.instances is None else image.instances
    out = np.zeros(image.known.shape, np.uint32)
    classes: dict[int, int] = {}
    highest = int(own.max())
    for class_id in image.present:
        inside = image.known == class_id
        told = inside & (own > 0)
        numbers, which = np.unique(own[told], return_inverse=True)  # all at once: there may be thousands
        taken = np.isin(numbers, list(classes))  # by an object of a class before this one
        kept = numbers.astype(np.uint32)
        kept[taken] = highest + 1 + np.arange(taken.sum())
        highest += int(taken.sum())
        out[told] = kept[which]
        classes |= dict.fromkeys(kept.tolist(), class_id)
        parts, count = ndimage.label(inside & (own == 0), np.ones((3, 3, 3), int))
        out[parts > 0] = parts[parts > 0] + highest
        classes |= dict.fromkeys(range(highest + 1, highest + 1 + count), class_id)
        highest += count
    return NumberedObjects(out if highest > 65535 else out.astype(np.uint16), classes)


class LabelImageWriter(Writer):
    """What both have in common: images, masks, and a table of classes that our own import reads."""

    title: str

    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._rows: list[tuple[str, int, int]] = []

    def write(self, image: LabelledImage) -> None:
        image.tell_unknown(self.title)
        if len(image.present) > 1:
            image.tell(CLASSES_LOST.format(self.title))
        found = numbered(image)
        picture, mask = self._names(image)
        _tiff(self.folder.beside(picture, image), open_npy(image.row.path))
        _tiff(self.folder.place(mask, image), found.values)
        self._rows += [
            (mask.rpartition("/")[2], number, class_id) for number, class_id in found.classes.items()
        ]
        self.more(image, found)

    def more(self, image: LabelledImage, found: NumberedObjects) -> None:
        """Further files of an image."""

    @abstractmethod
    def _names(self, image: LabelledImage) -> tuple[str, str]:
        """Of the image and of its mask, below the folder."""

    def finish(self, classes: Sequence[ClassRow]) -> None:
        names = {c.id: c.name for c in classes}
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["file", "value", "class"])
        rows.writerows((file, number, names[class_id]) for file, number, class_id in self._rows)
        write_bytes(self.folder.at("objects.csv"), text.getvalue().encode())


class CellposeWriter(LabelImageWriter):
    """NAME.tif, NAME_masks.tif to train on, NAME_seg.npy for Cellpose's own window."""

    title = "Cellpose"

    def _names(self, image: LabelledImage) -> tuple[str, str]:
        return f"{image.name}.tif", f"{image.name}_masks.tif"

    def more(self, image: LabelledImage, found: NumberedObjects) -> None:
        masks = found.values if image.kind == "volume" else found.values[0]
        edges = np.stack([find_boundaries(plane, mode="inner") for plane in found.values])
        content = {
            "masks": masks,
            "outlines": (found.values * edges).reshape(masks.shape),
            "chan_choose": [0, 0],
            "ismanual": np.ones(len(found.classes), bool),
            "filename": f"{image.name}.tif",
        }
        buffer = io.BytesIO()
        np.save(buffer, np.array(content, object), allow_pickle=True)
        write_bytes(self.folder.beside(f"{image.name}_seg.npy", image), buffer.getvalue())


class StarDistWriter(LabelImageWriter):
    """`images` and `masks` for training, the same of what is held out for testing."""

    title = "StarDist"

    def _names(self, image: LabelledImage) -> tuple[str, str]:
        part = "test" if image.held_out else "train"
        return f"{part}/images/{image.name}.tif", f"{part}/masks/{image.name}.tif"


def _tiff(path: Any, pixels: NDArray[Any]) -> None:
    """(Z, Y, X[, 3]); a picture has no Z in its file."""
    flat = pixels[0] if len(pixels) == 1 else pixels
    kind = "rgb" if pixels.ndim == 4 else "minisblack"
    imwrite(path, np.ascontiguousarray(flat), photometric=kind, compression="zlib")
