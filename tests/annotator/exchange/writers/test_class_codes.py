"""The code of a class reaches the formats that know codes, and goes with its class."""

from contextlib import closing
from pathlib import Path

import highdicom as hd
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_act import as_one_act
from annotator.jobs import Job
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from storage.store import Store
from tests.support.dicom_series import save_series
from tests.support.labelled_projects import (
    VOLUME,
    add_labels,
    affine,
    exported,
    imported,
    project_of_volumes,
    volume_file,
)

CODE = "SCT 10200004 Liver structure"


def test_dicom_says_it(store: Store, tmp_path: Path):
    save_series(tmp_path / "in", "oblique")
    liver, other = store.add_class("liver").id, store.add_class("other").id
    (image_id,) = imported(store, tmp_path / "in").added
    truth = np.full(store.image(image_id).shape, liver, np.uint8)
    truth[0] = other
    add_labels(store, image_id, truth)
    store.class_rows.set_code(liver, CODE)
    formats = ("dicomseg", "rtstruct")
    out = export(store, tmp_path / "out", ExportRequest(formats, originals=tmp_path / "in"), Job("export"))
    seg = hd.seg.segread(next((out / "dicomseg").iterdir()))
    types = [seg.get_segment_description(n).segmented_property_type for n in (1, 2)]
    assert [(one.value, one.meaning) for one in types] == [
        ("10200004", "Liver structure"),
        ("85756007", "Tissue"),
    ]
    regions = pydicom.dcmread(next((out / "rtstruct").iterdir())).RTROIObservationsSequence
    (code,) = regions[0].RTROIIdentificationCodeSequence
    assert (code.CodingSchemeDesignator, code.CodeValue) == ("SCT", "10200004")
    assert "RTROIIdentificationCodeSequence" not in regions[1]
    told = (out / "README.txt").read_text("utf-8")
    assert "other has no code" in told and "liver has no code" not in told


def test_3d_slicer_finds_it_in_the_tags_of_a_segment(store: Store, tmp_path: Path):
    project_of_volumes(store, tmp_path / "in")
    store.class_rows.set_code(1, CODE)
    out = exported(store, tmp_path / "out", "slicer")
    header = nrrd.read_header(str(next((out / "slicer").iterdir())))
    assert header["Segment0_Tags"].split("~")[2] == "SCT^10200004^Liver structure"
    assert "Segment1_Tags" not in header


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" SCT   10200004  Liver structure ", CODE),
        ("RADLEX RID58", "RADLEX RID58 liver"),
        ("", ""),
    ],
)
def test_a_code_is_kept_in_one_spelling(store: Store, text: str, kept: str):
    liver = store.add_class("liver")
    store.class_rows.set_code(liver.id, text)
    assert str(store.classes()[0].code or "") == kept


@pytest.mark.parametrize("text", ["SCT", "a" * 17 + " 1", "SCT 12345678901234567", "SCT 1 x\x00y"])
def test_what_is_no_code_is_refused_with_an_example(store: Store, text: str):
    liver = store.add_class("liver")
    with pytest.raises(ValueError, match="SCHEME VALUE MEANING, as in: SCT 10200004 Liver"):
        store.class_rows.set_code(liver.id, text)
    assert store.classes()[0].code is None


def test_it_comes_back_with_its_class_and_leaves_with_its_number(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("storage.classes.MAX_CLASS", 1)
    liver = store.add_class("liver")
    store.class_rows.set_code(liver.id, CODE)
    store.remove_class(liver.id)
    assert str(store.add_class("liver").code) == CODE
    store.remove_class(liver.id)
    other = store.add_class("other")
    assert other.id == liver.id and other.code is None


@pytest.mark.parametrize("kind", ["dicomseg", "rtstruct", "slicer", "nifti"])
def test_a_code_comes_back_with_its_class_and_goes_where_the_import_is_undone(
    store: Store, tmp_path: Path, kind: str
):
    data = tmp_path / "in"
    save_series(data, "oblique")
    liver, other = store.add_class("liver").id, store.add_class("other").id
    (image_id,) = imported(store, data).added
    truth = np.full(store.image(image_id).shape, liver, np.uint8)
    truth[0] = other
    add_labels(store, image_id, truth)
    store.class_rows.set_code(liver, CODE)
    out = export(store, tmp_path / "out", ExportRequest((kind,), originals=data), Job("export"))
    with closing(Store(tmp_path / "second")) as second:
        second.add_class("other")
        second.add_class("liver")
        with as_one_act(second, "labels"):
            assert imported(second, data, labels=out / kind if kind != "nifti" else out).labelled
        codes = {c.name: str(c.code or "") for c in second.classes()}
        assert codes == {"liver": CODE, "other": ""}
        (act,) = second.acts.newest(1)
        repair = Repair(second, LabelCache(second))
        repair.undo("ann", act.id)
        assert not any(c.code for c in second.classes())
        repair.redo("ann", act.id)
        assert {c.name: str(c.code or "") for c in second.classes()} == codes


def test_a_code_that_a_class_has_stays(store: Store, tmp_path: Path):
    volume_file(tmp_path / "in/images/a.nii.gz", "oblique")
    (tmp_path / "in/labels").mkdir()
    nib.save(nib.Nifti1Image(np.ones(VOLUME, np.uint8), affine("oblique")), tmp_path / "in/labels/a.nii.gz")
    table = "index\tname\tscheme\tcode\tmeaning\n1\tliver\tSCT\t10200004\tLiver\n2\tn\tn/a\tn/a\tn/a\n"
    (tmp_path / "in/labels/labels.tsv").write_text(table)
    store.class_rows.set_code(store.add_class("liver").id, "RADLEX RID58 liver")
    assert imported(store, tmp_path / "in").labelled
    assert [str(c.code) for c in store.classes()] == ["RADLEX RID58 liver"]
