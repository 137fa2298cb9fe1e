"""Which files are scenes, and opening them."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from tifffile import TiffFile

from storage.formats.base import FileRefused
from storage.scan import MAX_PIXELS_2D, MAX_VOXELS
from storage.scenes.ome_zarr import is_zarr, open_zarr
from storage.scenes.pyramid import Pyramid
from storage.scenes.tiff import SLIDES, SUFFIXES, open_tiff, series_of

log = logging.getLogger(__name__)
GONE = "it is not where it was; put it back, or import it from its new place"


def can_be_scene(path: Path) -> bool:
    """Whether a scene can be made of it at all, by its name."""
    return is_zarr(path) or path.name.lower().endswith(SUFFIXES + SLIDES)


def is_scene(path: Path) -> bool:
    """Whether it is opened in place where nobody says otherwise: an OME-Zarr, a slide, a TIFF too large to copy."""
    if is_zarr(path):
        return True
    name = path.name.lower()
    if not path.is_file() or not name.endswith(SUFFIXES + SLIDES):
        return False
    return name.endswith(SLIDES) or _is_large(path)


def _is_large(path: Path) -> bool:
    """More than readers of whole images take, or than half of the memory holds."""
    try:
        with TiffFile(path) as tiff:
            series = series_of(tiff)
    except Exception:  # damaged: the reader of whole images says how
        return False
    flat = sum(n > 4 for n in series.shape) <= 2
    most = MAX_PIXELS_2D if flat else MAX_VOXELS
    return math.prod(series.shape) > most or 4 * series.nbytes > psutil.virtual_memory().total


@contextmanager
def open_scene(path: Path) -> Iterator[Pyramid]:
    """Its levels while it is open. Raises FileRefused: a sentence that starts with "it"."""
    if not path.exists():
        raise FileRefused(GONE)
    with _refusing(path):
        if is_zarr(path):
            yield open_zarr(path)
            return
        with open_tiff(path) as pyramid:
            yield pyramid


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except FileRefused:
        raise
    except MemoryError:
        raise FileRefused("it needs more memory than is free; close other programs and try again") from None
    except Exception as error:  # other people's decoders raise anything on damaged files
        log.warning("%s cannot be read: %s", path.name, error)
        title = "OME-Zarr" if path.is_dir() else "a TIFF"
        raise FileRefused(f"it cannot be read as {title}: it is damaged or of another kind") from error
