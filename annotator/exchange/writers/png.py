"""PNG: the class of every pixel, as the picture is displayed."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotator.exchange.writers.contract import LabelledImage, Writer
from storage.arrays import write_bytes


class PngWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        write_bytes(self.folder.place(f"{image.name}.png", image), _png(image.values[0]))
        if image.instances is not None:
            path = self.folder.place(f"{image.name}_instances.png", image)
            write_bytes(path, _png(image.instances[0]))


def _png(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(buffer, "PNG")
    return buffer.getvalue()
