"""Segmentations as 3D Slicer saves them: cut to what they fill, in layers where segments overlap."""

from pathlib import Path

import nrrd
import numpy as np

from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from storage.formats import grid_from_json
from storage.store import Store
from tests.support.labelled_projects import VOLUME, affine, imported, known_of, named, volume_file

LPS = np.diag([-1.0, -1.0, 1.0])
START = (2, 1, 3)  # of the part, in voxels of the file


def write(path: Path, layers: np.ndarray, place: np.ndarray, **fields: str) -> None:
    """(layers, i, j, k) or (i, j, k) with its voxel -> RAS matrix, by pynrrd."""
    directions = (LPS @ place[:3, :3]).T
    listed = layers.ndim == 4
    header = {
        "space": "left-posterior-superior",
        "space directions": np.vstack([[np.nan] * 3, directions]) if listed else directions,
        "space origin": LPS @ place[:3, 3],
        "kinds": (["list"] if listed else []) + ["domain"] * 3,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    nrrd.write(str(path), layers, header | fields)


def segment(number: int, name: str, label: int, layer: int, color: str = "1 0.5 0") -> dict[str, str]:
    values = {"Name": name, "LabelValue": str(label), "Layer": str(layer), "Color": color}
    return {f"Segment{number}_{key}": value for key, value in values.items()}


def part(kind: str) -> np.ndarray:
    place = affine(kind)
    place[:3, 3] += place[:3, :3] @ START
    return place


def test_a_cut_file_of_two_layers_lies_where_it_belongs(store: Store, tmp_path: Path):
    for kind in ("oblique", "flipped", "flat"):
        volume_file(tmp_path / f"in/{kind}.nii.gz", kind)
        layers = np.zeros((2, 3, 3, 2), np.uint8)
        layers[0, :2], layers[1, 1:, 1:] = 1, 1
        fields = segment(0, "liver", 1, 0) | segment(1, "tumour", 1, 1, "0 0 1")
        write(tmp_path / f"masks/{kind}.seg.nrrd", layers, part(kind), **fields)
    report = imported(store, tmp_path / "in", labels=tmp_path / "masks")
    assert len(report.labelled) == 3 and not report.refused
    assert (
        sum("4 voxels lie in two segments; the later segment has them" in note for note in report.notes) == 3
    )
    whole = np.full(VOLUME, "0", object)
    whole[2:4, 1:4, 3:5] = "liver"
    whole[3:5, 2:4, 3:5] = "tumour"
    _, rows = store.images(limit=-1)
    for row in rows:
        shown = grid_from_json(row.geometry).to_display(whole)
        assert np.array_equal(named(store, known_of(store)[row.source]), shown)
    assert {c.name: c.color for c in store.classes()} == {"liver": "#ff8000", "tumour": "#0000ff"}


def test_it_is_seen_before_it_happens_and_beside_its_scan_it_is_no_image(store: Store, tmp_path: Path):
    volume_file(tmp_path / "in/a.nii.gz", "oblique")
    write(
        tmp_path / "in/a.seg.nrrd", np.ones(VOLUME, np.uint8), affine("oblique"), **segment(0, "liver", 1, 0)
    )
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(tmp_path / "in"), Job("import")), facts)
    (image,) = look.images
    assert image.mask == "a.seg.nrrd" and image.why == "a segmentation of 3D Slicer"
    (masks,) = look.masks
    assert [(v.name, v.color) for v in masks.values if v.kind == "class"] == [("liver", "#ff8000")]
    assert not store.classes()


def test_another_grid_is_refused_in_a_sentence(store: Store, tmp_path: Path):
    volume_file(tmp_path / "in/a.nii.gz", "oblique")
    place = affine("oblique")
    place[:3, 3] += place[:3, :3] @ (0.4, 0, 0)
    write(tmp_path / "in/a.seg.nrrd", np.ones(VOLUME, np.uint8), place, **segment(0, "liver", 1, 0))
    assert "its voxels are not those of the image" in imported(store, tmp_path / "in").refused[0]
    place = affine("oblique")
    place[:3, 3] += place[:3, :3] @ (1, 0, 0)
    write(tmp_path / "in/a.seg.nrrd", np.ones(VOLUME, np.uint8), place, **segment(0, "liver", 1, 0))
    assert "it says something outside the image" in imported(store, tmp_path / "in").refused[0]
    write(tmp_path / "in/a.seg.nrrd", np.ones(VOLUME, np.uint8), affine("oblique"))
    assert "names no segments" in imported(store, tmp_path / "in").refused[0]
