"""Fills of real volumes against the nearest labelled slice."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from learners.propagate import fill
from tests.learners.test_propagate import dice, labelled, nearest


def volume(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    image, label = (nibabel.Nifti1Image.from_filename(folder / kind / name) for kind in ("images", "labels"))
    x, y, z = (float(mm) for mm in image.header.get_zooms()[:3])
    truth = (np.asarray(label.dataobj) > 0).T.astype(np.uint8)
    return np.asarray(image.dataobj).T.astype(np.float32), truth, (z, y, x)


@pytest.mark.parametrize("folder", ["hippocampus", "spinal-cord"])
def test_three_slices_fill_a_real_volume_better_than_the_nearest_slice(shared_data: Path, folder: str):
    found = []
    for path in sorted((shared_data / folder / "images").iterdir())[:3]:
        image, truth, spacing = volume(shared_data / folder, path.name)
        reach = np.flatnonzero(truth.any((1, 2)))
        at = [(0, int(np.quantile(reach, q))) for q in (0.2, 0.5, 0.8)]
        case = labelled(image, truth, at, spacing=spacing)
        found.append([dice(c, truth) for c in (fill("random_walker", case).classes, nearest(case))])
    walker, near = np.mean(found, 0)
    assert walker > near + 0.1, f"{folder}: {walker:.3f} against {near:.3f}"


def test_two_slices_fill_a_real_volume_better_than_their_shapes_alone(shared_data: Path):
    found = []
    for path in sorted((shared_data / "hippocampus" / "images").iterdir())[:4]:
        image, truth, spacing = volume(shared_data / "hippocampus", path.name)
        reach = np.flatnonzero(truth.any((1, 2)))
        at = [(0, int(np.quantile(reach, q))) for q in (0.25, 0.75)]
        case = labelled(image, truth, at, spacing=spacing)
        found.append([dice(fill(name, case).classes, truth) for name in ("random_walker", "shape", "flow")])
    walker, shape, flow = np.mean(found, 0)
    assert walker > max(shape, flow) + 0.05, f"{walker:.3f} against {shape:.3f} and {flow:.3f}"
