"""Twelve phantoms with known truth: one organ in soft tissue, of another size, place, contrast and noise each."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from storage.formats import grid_of
from storage.scan import Scan, robust_window, value_range

COUNT = 12
CLASSES = (("organ", "#ff7043"), ("lesion", "#ffca28"))
SPACING_MM = (5.0, 1.0, 1.0)  # (z, y, x); so far apart, slices are learnt as pictures, which takes seconds
WOBBLE = 0.35  # how far an organ's surface leaves its ellipsoid


@dataclass(frozen=True)
class Variation:
    """How one phantom differs from the others; lengths are shares of half of the volume's sides, (z, y, x)."""

    shape: tuple[int, int, int]
    centre: NDArray[np.float64]
    radii: NDArray[np.float64]
    contrast: float  # of the organ against the tissue, in HU
    noise: float  # HU
    lesion: float  # radius as a share of the organ's; 0: none


def phantoms() -> Iterator[Scan]:
    for number in range(1, COUNT + 1):
        yield phantom(number)[0]


def phantom(number: int) -> tuple[Scan, NDArray[np.uint8]]:
    """A CT-like volume and its true classes (Z, Y, X), numbered as CLASSES from 1. The same every time."""
    random = np.random.default_rng(100 + number)
    varied = _variation(random, number)
    organ, lesion, vessel = _organ(random, varied), _lesion(varied), _vessel(random, varied)
    lesion &= organ
    values = np.full(varied.shape, 40, np.float32) + _smooth(random, varied.shape, 7) * 10
    values[vessel & ~organ] += varied.contrast * 1.5
    values[organ] += varied.contrast
    values[lesion] -= varied.contrast * 0.45
    values = gaussian_filter(values, (0.4, 0.8, 0.8))
    values += random.standard_normal(varied.shape, np.float32) * varied.noise
    truth = np.where(lesion, 2, organ).astype(np.uint8)
    return _scan(f"phantom {number:02}", np.rint(values).clip(-1024, 1500).astype(np.int16)), truth


def _variation(random: Generator, number: int) -> Variation:
    """The first one is the easiest: a large organ in the middle, and little noise."""
    first = number == 1
    shape = (random.integers(18, 24), random.integers(84, 101), random.integers(92, 113))
    return Variation(
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        centre=random.uniform(-1, 1, 3) * (0.05 if first else np.array([0.15, 0.35, 0.35])),
        radii=np.array([0.6, 0.42, 0.42]) * (1 if first else random.uniform(0.65, 1.1, 3)),
        contrast=200 if first else float(random.uniform(140, 260)),
        noise=10 if first else float(random.uniform(6, 24)),
        lesion=0.0 if number % 3 == 0 else float(random.uniform(0.2, 0.4)),
    )


def _organ(random: Generator, varied: Variation) -> NDArray[np.bool_]:
    return _distance(varied, varied.centre, varied.radii) + _smooth(random, varied.shape, 9) * WOBBLE / 2 <= 1


def _lesion(varied: Variation) -> NDArray[np.bool_]:
    """In the organ, off its centre."""
    if not varied.lesion:
        return np.zeros(varied.shape, bool)
    centre = varied.centre + varied.radii * (0.1, 0.35, -0.35)
    return _distance(varied, centre, varied.radii * varied.lesion) <= 1


def _vessel(random: Generator, varied: Variation) -> NDArray[np.bool_]:
    """As bright as an organ, and none: a tube through all slices."""
    side = -1 if varied.centre[2] > 0 else 1
    return (
        _distance(varied, np.array([0, random.uniform(-0.5, 0.5), side * 0.8]), np.array([9, 0.1, 0.1])) <= 1
    )


def _distance(
    varied: Variation, centre: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(Z, Y, X), 1 on the ellipsoid's surface."""
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in varied.shape)]
    squared = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    return np.asarray(np.sqrt(squared))


def _smooth(random: Generator, shape: tuple[int, int, int], sigma: float) -> NDArray[np.float32]:
    """Noise without grain, of variance 1."""
    noise = gaussian_filter(random.standard_normal(shape, np.float32), (sigma / 4, sigma, sigma))
    return np.asarray(noise / noise.std(), np.float32)


def _scan(name: str, pixels: NDArray[np.int16]) -> Scan:
    z, y, x = pixels.shape
    dz, dy, dx = SPACING_MM
    affine = np.array(
        [[-dx, 0, 0, x * dx / 2], [0, -dy, 0, y * dy / 2], [0, 0, -dz, z * dz / 2], [0, 0, 0, 1]]
    )
    grid = grid_of("made", (x, y, z), affine, oriented=True)
    return Scan(
        name=name,
        pixels=grid.to_display(pixels.transpose(2, 1, 0)),
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=grid.json(),
        modality="CT",
        window=(-60.0, 340.0),
        value_range=value_range(pixels),
        presets=(("soft tissue", -60.0, 340.0), ("all", *robust_window(pixels))),
    )
