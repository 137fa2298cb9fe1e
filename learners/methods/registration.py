"""How one volume lies in another: an affine map by correlation, then symmetric demons, both SimpleITK's.

T. Vercauteren et al., NeuroImage 2009. A registration depends on the pixels of both volumes alone, takes about a second
and is kept; laying anything over by it takes some hundredths.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from storage.array_cache import ArrayCache, Arrays

AFFINE_STEPS, DEMONS_STEPS, DEMONS_SMOOTH = 60, 40, 1.5  # the last in voxels
VERSION = 1  # of `register`: raise it where the same pixels come to another way
Brightness = NDArray[np.float32]  # (z, y, x)


@dataclass(frozen=True)
class Deformation:
    """From each place of one volume to the same place of another on a grid of the same shape."""

    affine: NDArray[np.float64]  # (12,) ITK's: the matrix row by row, then the shift; x first, in voxels
    centre: NDArray[np.float64]  # (3,) that the matrix turns around
    bend: NDArray[np.float16]  # (z, y, x, 3) before the affine map; x first, in voxels, to a hundredth
    likeness: float  # -1..1, of the volumes once they are laid over each other

    def moved(self, parts: NDArray[np.float32], *, on: bool = False) -> NDArray[np.float32]:
        """(K, z, y, x) of the other volume where they lie in this one; beyond its border 0, or its border goes `on`."""
        image = sitk.GetImageFromArray(np.moveaxis(parts, 0, -1), isVector=True)
        how = sitk.sitkLinear, 0.0, image.GetPixelID(), on
        there = sitk.Resample(image, image, self._transform(), *how)
        moved = sitk.GetArrayFromImage(there).reshape(
            *parts.shape[1:], len(parts)
        )  # it drops an axis of one part
        return np.ascontiguousarray(np.moveaxis(moved, -1, 0))

    def _transform(self) -> sitk.Transform:
        straight = sitk.AffineTransform(3)
        straight.SetFixedParameters(self.centre.tolist())
        straight.SetParameters(self.affine.tolist())
        bend = sitk.GetImageFromArray(self.bend.astype(np.float64), isVector=True)
        return sitk.CompositeTransform([straight, sitk.DisplacementFieldTransform(bend)])


def way_between(picture: Brightness, other: Brightness, cache: ArrayCache) -> Deformation:
    """How `other` lies in `picture`, from disk where these pixels were registered before."""
    return _way_of(cache.get_or_make(key_of(picture, other), lambda: _arrays_of(register(picture, other))))


def key_of(picture: Brightness, other: Brightness) -> str:
    """The name under which a registration is cache: both volumes, and everything else that it depends on."""
    settings = VERSION, AFFINE_STEPS, DEMONS_STEPS, DEMONS_SMOOTH, sitk.Version.VersionString()
    digest = hashlib.sha256(f"{settings} {picture.shape}".encode())
    for volume in (picture, other):
        digest.update(np.ascontiguousarray(volume).data)
    return f"way-{digest.hexdigest()[:40]}"


def register(picture: Brightness, other: Brightness) -> Deformation:
    """How `other` lies in `picture`, of the same shape. About a second."""
    fixed = sitk.GetImageFromArray(picture)
    moving = sitk.HistogramMatching(sitk.GetImageFromArray(other), fixed)
    straight = affine(fixed, moving)
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(DEMONS_STEPS)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(DEMONS_SMOOTH)
    bend = demons.Execute(fixed, sitk.Resample(moving, fixed, straight, sitk.sitkLinear))
    way = Deformation(
        affine=np.array(straight.GetParameters()),
        centre=np.array(straight.GetFixedParameters()),
        bend=sitk.GetArrayFromImage(bend).astype(np.float16),  # a quarter of the disk
        likeness=0.0,
    )
    moved = way.moved(sitk.GetArrayFromImage(moving)[None])[0]
    return replace(way, likeness=correlation(picture, moved))


def affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """By correlation, from where the volumes lie; no move where nothing can be found."""
    start = sitk.AffineTransform(3)
    start.SetCenter([n / 2 for n in fixed.GetSize()])
    search = sitk.ImageRegistrationMethod()
    search.SetMetricAsCorrelation()
    search.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, AFFINE_STEPS)
    search.SetOptimizerScalesFromPhysicalShift()
    search.SetInterpolator(sitk.sitkLinear)
    search.SetShrinkFactorsPerLevel([2, 1])
    search.SetSmoothingSigmasPerLevel([2, 1])
    search.SetInitialTransform(start)
    try:
        return search.Execute(fixed, moving)
    except RuntimeError:  # an empty volume, or one that ran out of the other
        return sitk.AffineTransform(3)


def correlation(a: Brightness, b: Brightness) -> float:
    """-1..1, of the volumes a little smoothed."""
    a, b = (gaussian_filter(v, 1.0) for v in (a, b))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-6))


def _arrays_of(way: Deformation) -> Arrays:
    return {
        "affine": way.affine,
        "centre": way.centre,
        "bend": way.bend,
        "likeness": np.array(way.likeness),
    }


def _way_of(arrays: Arrays) -> Deformation:
    return Deformation(arrays["affine"], arrays["centre"], arrays["bend"], float(arrays["likeness"]))
