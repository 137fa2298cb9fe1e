"""The look before an import says what the import then does, and writes nothing."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

import app
from annotator.exchange.import_images import carry_out
from annotator.exchange.import_look import look_at
from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import
from annotator.jobs import Job
from storage import formats
from storage.store import Store
from tests.annotator.exchange.test_import_images import mask, picture, volume


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two volumes on turned axes and a picture; one mask fits, one is lonely, one file is broken."""
    folder = tmp_path / "set"
    volume(folder / "images/a.nii.gz", np.arange(210).reshape(5, 6, 7).astype(np.int16))
    volume(folder / "images/b.nii.gz", np.ones((5, 6, 7), np.int16), np.diag([1.0, 1, 20, 1]))
    picture(folder / "images/c.png")
    volume(folder / "labels/a.nii.gz", (np.arange(210).reshape(5, 6, 7) % 3).astype(np.uint8))
    mask(folder / "labels/lonely.png", np.ones((12, 17), np.uint8))
    (folder / "labels/labels.csv").write_text("value;name\n1;liver\n2;void\n")
    (folder / "broken.nrrd").write_bytes(b"NRRD0004\nno")
    return folder


def test_the_look_names_images_masks_values_and_what_is_left_out(store: Store, data: Path):
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(data), Job("look")), facts)
    by_name = {image.name: image for image in look.images}
    first, second = by_name["images/a.nii.gz"], by_name["images/b.nii.gz"]
    assert (first.kind, first.size, first.orientation) == ("volume", (7, 5, 6), "ALS")
    assert first.spacing_mm == pytest.approx((3, 1, 2)) and first.mask == "labels/a.nii.gz"
    assert first.why == "the same path" and second.mask == ""
    assert second.warnings == ("its voxels are 20 times longer than wide",)
    assert by_name["images/c.png"].size == (1, 12, 17)
    assert by_name["broken.nrrd"].kind == "" and "left out" in by_name["broken.nrrd"].warnings[0]
    (family,) = look.masks
    assert family.tables == ("labels.csv",) and not family.objects and not family.question
    assert [(v.value, v.kind, v.name) for v in family.values] == [(1, "class", "liver"), (2, "void", "")]
    assert [line.split(":")[0] for line in look.left_out] == ["labels/lonely.png"]
    assert any("orientations" in line for line in look.warnings)
    json.dumps(look.as_json())
    assert store.images()[0] == 0 and not store.classes()


def test_what_was_looked_at_is_what_comes_in(store: Store, data: Path):
    facts = facts_of(store, images=True)
    plan = plan_import(facts, ImportRequest(data), Job("look"))
    look = look_at(plan, facts)
    plan.sight.move_to(Job("import"))
    report = carry_out(store, plan)
    rows = {store.image(i).source: store.image(i) for i in report.added}
    for image in look.images:
        if image.kind:
            assert rows[image.name].shape == image.size
            assert rows[image.name].spacing_mm == (
                pytest.approx(image.spacing_mm) if image.spacing_mm else None
            )
    assert [store.image(i).source for i in report.labelled] == [i.name for i in look.images if i.mask]
    assert {line.split(":")[0] for line in report.refused} == {"labels/lonely.png", "broken.nrrd"}


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_header_of_a_turned_picture_says_the_size_that_it_gets(turn: int, tmp_path: Path):
    exif = Image.Exif()
    exif[274] = turn
    for name in ("a.jpg", "a.png", "a.tif"):
        Image.fromarray(np.zeros((12, 17), np.uint8)).save(tmp_path / name, exif=exif)
        scan = formats.read(tmp_path / name)
        assert formats.look(tmp_path / name).grid.display_shape == scan.shape


def test_headers_alone_say_what_reading_says(tmp_path: Path):
    import SimpleITK as sitk

    values = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.7, 3.0))
    for name in ("a.nrrd", "a.mha", "a.nii"):
        sitk.WriteImage(image, str(tmp_path / name))
    tifffile.imwrite(tmp_path / "a.tif", values.astype(np.uint16), photometric="minisblack")
    rgb = np.zeros((3, 6, 7), np.uint8)
    tifffile.imwrite(tmp_path / "planar.tif", rgb, photometric="rgb", planarconfig="separate")
    for path in sorted(tmp_path.iterdir()):
        scan, look = formats.read(path), formats.look(path)
        assert look.grid.display_shape == scan.shape, path.name
        assert look.grid.spacing_mm == (pytest.approx(scan.spacing_mm) if scan.spacing_mm else None)


def test_a_header_that_changed_is_told_before_it_is_taken(store: Store, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    volume(tmp_path / "in/s.nii.gz", pixels, np.eye(4))
    carry_out(store, plan_import(facts_of(store), ImportRequest(tmp_path / "in"), Job("import")))
    nib.save(nib.Nifti1Image(pixels, np.diag([1.0, 1, 4, 1])), tmp_path / "in/s.nii.gz")
    facts = facts_of(store, images=True)
    look = look_at(plan_import(facts, ImportRequest(tmp_path / "in"), Job("look")), facts)
    assert "4 x 1 x 1 mm" in look.images[0].header and look.as_json()["headers"] == 1


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert app.main(["import", str(data), "--project", str(tmp_path / "project"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 images:" and "Nothing was imported" in lines[-1]
    assert any(
        "images/a.nii.gz, volume, 6 x 5 x 7, 2 x 1 x 3 mm, ALS, mask labels/a.nii.gz" in x for x in lines
    )
    assert "  1: class liver (1 file)" in lines and "  2: void (1 file)" in lines
    assert not (tmp_path / "project").exists()
    assert app.main(["import", str(data), "--project", str(tmp_path / "project"), "--value", "2=spleen"]) == 0
    store = Store.read_only(tmp_path / "project")
    assert [row.name for row in store.classes()] == ["liver", "spleen"]
    store.close()
