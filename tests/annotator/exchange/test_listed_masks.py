"""Masks that lists put with their images: MONAI's data lists, and Pascal VOC's folders."""

import json
from contextlib import closing
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from storage.store import Store
from tests.support.labelled_projects import (
    VOLUME,
    VOLUMES,
    affine,
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    picture_file,
    project_of_pictures,
    volume_file,
)


def test_a_data_list_pairs_names_that_share_nothing(store: Store, tmp_path: Path):
    entries = []
    for number, kind in enumerate(VOLUMES):
        volume_file(tmp_path / f"scans/{kind}.nii.gz", kind)
        mask = np.zeros(VOLUME, np.uint8)
        mask[number + 1, 1:3, 2] = 1
        (tmp_path / "truth").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(mask, affine(kind)), tmp_path / f"truth/{number}.nii.gz")
        entries.append({"image": [f"./scans/{kind}.nii.gz"], "label": f"truth/{number}.nii.gz"})
    (tmp_path / "truth/labels.csv").write_text("value,name\n1,spleen\n")
    parts = {"training": entries[:2], "validation": entries[2:], "test": ["scans/x.nii.gz"]}
    (tmp_path / "datalist.json").write_text(json.dumps(parts))
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(tmp_path), Job("import")), facts)
    assert {image.why for image in look.images} == {"by datalist.json"}
    report = imported(store, tmp_path)
    assert len(report.added) == len(report.labelled) == 3 and not report.refused
    assert [c.name for c in store.classes()] == ["spleen"]
    assert all(np.count_nonzero(known) == 2 for known in known_of(store).values())
    assert not imported(store, tmp_path).labelled


@pytest.mark.parametrize("content", ["[1]", "{", '{"training": [{"image": 3, "label": "../../b.png"}, 4]}'])
def test_a_list_that_is_none_pairs_nothing(store: Store, tmp_path: Path, content: str):
    picture_file(tmp_path / "a.png")
    (tmp_path / "datalist.json").write_text(content)
    report = imported(store, tmp_path)
    assert len(report.added) == 1 and not report.labelled


def test_pascal_voc_comes_back_with_objects_and_names(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "voc") / "voc"
    (tmp_path / "in").rename(out / "JPEGImages")
    with closing(Store(tmp_path / "again")) as again:
        report = imported(again, out)
        assert len(report.added) == len(report.labelled) == 2 and not report.refused
        for source, known in known_of(again).items():
            classes, numbers = truths[Path(source).name]
            assert np.array_equal(named(again, known), named(store, classes))
            back = numbers_of(again)[source]
            assert back is not None and np.array_equal(back, numbers)


def test_masks_of_cvat_are_named_by_its_label_map(store: Store, tmp_path: Path):
    picture_file(tmp_path / "JPEGImages/a.png", (4, 6))
    values = np.zeros((4, 6), np.uint8)
    values[0], values[2], values[3, :2] = 1, 15, 255
    from storage.formats.shapes.voc_palette import palette

    picture = Image.fromarray(values, "P")
    picture.putpalette(palette().tobytes())
    (tmp_path / "SegmentationClass").mkdir()
    picture.save(tmp_path / "SegmentationClass/a.png")
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nplane:128,0,0::\nperson:192,128,128::\n"
    (tmp_path / "labelmap.txt").write_text(text)
    report = imported(store, tmp_path)
    assert len(report.labelled) == 1 and not report.refused
    said = named(store, known_of(store)["JPEGImages/a.png"])[0]
    assert (said[0] == "plane").all() and (said[2] == "person").all() and (said[3, 2:] == "0").all()
    assert (said[3, :2] == "255").all()  # nobody knows
