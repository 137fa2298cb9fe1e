"""The gallery of formats: a torso phantom with known truth, and pictures and scans that installed packages carry."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from storage.formats import FileRefused, grid_of, read
from storage.formats.nifti import read_volume
from storage.scan import Scan, robust_window, value_range

log = logging.getLogger(__name__)

CLASSES = (
    ("organ", "#ff7043"),
    ("vessel", "#ef5350"),
    ("lesion", "#ffca28"),
    ("cell", "#42a5f5"),
    ("object", "#66bb6a"),
)
TORSO_SHAPE = (96, 160, 160)  # (Z, Y, X)
TORSO_SPACING_MM = (2.0, 1.0, 1.0)
AIR, FAT, SKIN_MM = -1000, -90, 6.0


@dataclass(frozen=True)
class Organ:
    """An ellipsoid: centre and radii as shares of the body's half sizes, (z, y, x), and its value in HU."""

    truth: int  # index into CLASSES, from 1; 0 for what nobody asks for
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    value: float


ORGANS = (
    Organ(0, (-0.55, -0.05, -0.42), (0.55, 0.62, 0.36), -780),  # lungs
    Organ(0, (-0.55, -0.05, 0.42), (0.55, 0.62, 0.36), -780),
    Organ(1, (0.25, -0.10, -0.38), (0.42, 0.50, 0.42), 95),  # liver
    Organ(1, (0.20, 0.20, 0.55), (0.26, 0.30, 0.20), 130),  # spleen
    Organ(1, (0.50, 0.38, -0.36), (0.24, 0.17, 0.15), 190),  # kidneys
    Organ(1, (0.55, 0.38, 0.34), (0.24, 0.17, 0.15), 190),
    Organ(2, (0.00, 0.28, 0.02), (1.20, 0.10, 0.09), 260),  # aorta
    Organ(0, (0.00, 0.66, 0.00), (1.20, 0.17, 0.17), 420),  # spine
    Organ(3, (0.18, -0.20, -0.50), (0.10, 0.12, 0.10), 20),  # lesions in the liver
    Organ(3, (0.34, 0.02, -0.28), (0.07, 0.08, 0.07), 15),
)


@dataclass(frozen=True)
class Carried:
    """A file in an installed package."""

    package: str
    path: str
    name: str
    volume: int | None = None  # of a 4-D file


CARRIED = (
    Carried("nibabel", "tests/data/example4d.nii.gz", "brain MRI (nibabel)", volume=0),
    Carried("skimage", "data/coins.png", "coins"),
    Carried("skimage", "data/ihc.png", "tissue, immunohistochemistry"),
    Carried("pydicom", "data/test_files/CT_small.dcm", "CT slice (pydicom)"),
    Carried("skimage", "data/cell.png", "cell"),
    Carried("skimage", "data/retina.jpg", "retina"),
    Carried("pydicom", "data/test_files/MR_small_RLE.dcm", "MR slice (pydicom)"),
    Carried("skimage", "data/coffee.png", "coffee"),
    Carried("skimage", "data/horse.png", "horse"),
    Carried("skimage", "data/microaneurysms.png", "microaneurysms"),
    Carried("skimage", "data/camera.png", "camera"),
    Carried("skimage", "data/chelsea.png", "cat"),
    Carried("pydicom", "data/test_files/examples_jpeg2k.dcm", "ultrasound (pydicom)"),
    Carried("skimage", "data/hubble_deep_field.jpg", "galaxies"),
    Carried("skimage", "data/motorcycle_left.png", "motorcycle"),
)


def gallery_scans() -> Iterator[Scan]:
    """The torso, then whatever of CARRIED this installation has; nothing is downloaded."""
    yield torso()[0]
    for carried in CARRIED:
        if (scan := _load(carried)) is not None:
            yield scan


def torso() -> tuple[Scan, NDArray[np.uint8]]:
    """A CT-like torso and its true classes (Z, Y, X), numbered as CLASSES from 1. The same every time."""
    values, truth = _anatomy()
    random = np.random.default_rng(7)
    grain = gaussian_filter(random.standard_normal(TORSO_SHAPE, np.float32), 1.5) * 60
    values = gaussian_filter(values, (0.4, 0.7, 0.7)) + np.where(values > AIR, grain, 0)
    values += _bias() + random.standard_normal(TORSO_SHAPE, np.float32) * 12
    pixels = np.rint(values).clip(-1024, 1500).astype(np.int16)
    return _torso_scan(pixels), truth


def _anatomy() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Clean values in HU and the truth: a body of fat and muscle, then every organ over what was there."""
    values = np.full(TORSO_SHAPE, AIR, np.float32)
    truth = np.zeros(TORSO_SHAPE, np.uint8)
    body = (1.5, 0.82, 0.92)
    values[_ellipsoid((0, 0, 0), body)] = FAT
    skin = SKIN_MM / (TORSO_SHAPE[1] * TORSO_SPACING_MM[1] / 2)
    values[_ellipsoid((0, 0, 0), (body[0], body[1] - skin, body[2] - skin))] = 45
    for organ in ORGANS:
        inside = _ellipsoid(organ.centre, organ.radii)
        values[inside], truth[inside] = organ.value, organ.truth
    return values, truth


def _ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in TORSO_SHAPE)]
    distance = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    return np.asarray(distance <= 1)


def _bias() -> NDArray[np.float32]:
    """A slow drift of brightness, as coils and beams leave one: at most 25 HU."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in TORSO_SHAPE)]
    drift: NDArray[np.float32] = (10 * z + 8 * y * x + 7 * np.cos(2 * x)).astype(np.float32)
    return drift


def _torso_scan(pixels: NDArray[np.int16]) -> Scan:
    z, y, x = TORSO_SHAPE
    dz, dy, dx = TORSO_SPACING_MM
    affine = np.array(
        [[-dx, 0, 0, x * dx / 2], [0, -dy, 0, y * dy / 2], [0, 0, -dz, z * dz / 2], [0, 0, 0, 1]]
    )
    grid = grid_of("made", (x, y, z), affine, oriented=True)
    return Scan(
        name="phantom torso",
        pixels=grid.to_display(pixels.transpose(2, 1, 0)),
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=grid.json(),
        modality="CT",
        window=(-160.0, 300.0),
        value_range=value_range(pixels),
        presets=(("soft tissue", -160.0, 300.0), ("lung", -1100.0, 100.0), ("all", *robust_window(pixels))),
    )


def _load(carried: Carried) -> Scan | None:
    path = _package_file(carried)
    if path is None:
        log.info(
            "the gallery goes without %s: this installation of %s does not carry it",
            carried.name,
            carried.package,
        )
        return None
    try:
        scan = read(path) if carried.volume is None else read_volume(path, carried.volume)
    except FileRefused as refusal:
        log.warning("the gallery goes without %s: %s", carried.name, refusal)
        return None
    return replace(scan, name=carried.name, source="")


def _package_file(carried: Carried) -> Path | None:
    spec = find_spec(carried.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = (Path(folder) / carried.path for folder in folders)
    return next((path for path in found if path.is_file()), None)
