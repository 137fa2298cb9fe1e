"""The contract of every export format, and that one more line in WRITERS reaches every way to export."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import app
from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_images import import_path
from annotator.exchange.writers import WRITERS, ImageKind, WriterEntry, formats_for
from annotator.exchange.writers.contract import LabelledImage, Writer
from annotator.jobs import Job
from storage import formats
from storage.arrays import SliceRef
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn
from tests.support.asgi_client import live, small_app, small_workflow, visit


class NumpyWriter(Writer):
    """A format of this test."""

    def write(self, image: LabelledImage) -> None:
        np.save(self.folder.place(f"{image.name}.npy", image), image.values)


NUMPY = WriterEntry("NumPy arrays", ("volume", "slice", "picture"), NumpyWriter)


def image_values(path: Path) -> np.ndarray:
    """(Z, Y, X) as our own readers see a mask."""
    return formats.read_labels(path)[0]


def coco_values(path: Path) -> np.ndarray:
    read = COCO(path)
    (size,) = read.loadImgs(read.getImgIds())
    values = np.zeros((1, size["height"], size["width"]), np.uint8)
    for one in read.loadAnns(read.getAnnIds()):
        values[0][read.annToMask(one) == 1] = one["category_id"]
    return values


def nnunet_values(path: Path) -> np.ndarray:
    labels = json.loads((path.parents[1] / "dataset.json").read_text("utf-8"))["labels"]
    values = image_values(path)
    return np.where(values == labels["ignore"], 0, values)


READ: dict[str, Callable[[Path], np.ndarray]] = {  # what no reader of ours knows
    "coco": coco_values,
    "nnunet": nnunet_values,
}
OF_PLANES = {
    "omezarr",
    "coco-polygons",
    "yolo",
    "yolo-boxes",
    "qupath",
    "imagej",
    "cellpose",
    "stardist",
    "measurements",
    "cvat",
    "labelstudio",
    "labelme",
    "voc",
}  # each is read back in a test of its own, in tests/annotator/exchange/writers
TOLD = {  # what these images lack: a DICOM series, slices in the file's own order
    *((name, kind) for name in ("dicomseg", "dicomseg-labelmap", "rtstruct") for kind in ("volume", "slice")),
    *((name, "volume") for name in ("qupath", "imagej")),
}
KINDS: tuple[ImageKind, ...] = ("volume", "slice", "picture")


def image_file(folder: Path, kind: str) -> Path:
    values = np.arange(np.prod(shape := (23, 17, 9 if kind == "volume" else 1)), dtype=np.int16)
    path = folder / ("a.png" if kind == "picture" else "a.nii.gz")
    if kind == "picture":
        Image.fromarray((values % 256).astype(np.uint8).reshape(17, 23)).save(path)
    else:
        nib.save(nib.Nifti1Image(values.reshape(shape), np.diag([1.0, 1.0, 2.0, 1])), path)
    return path


def labelled(store: Store, folder: Path, kind: str) -> np.ndarray:
    """Adds an image of a kind with two objects on one slice: what an export of it should say."""
    (image_id,) = import_path(store, image_file(folder, kind), Job("import")).added
    truth = np.zeros(store.image(image_id).shape, np.uint8)
    index = len(truth) // 2
    for value, at in ((1, (1, 2)), (2, (5, 8))):
        store.add_class(f"class {value}")
        truth[index, at[0] : at[0] + 3, at[1] : at[1] + 4] = value
        store.add_label(drawn(SliceRef(image_id, 0, index), np.full((3, 4), value, np.uint8), at=at))
    return truth


def run(store: Store, target: Path, *names: str) -> Path:
    return export(store, target, ExportRequest(names), Job("export"))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_format_writes_what_it_fits_so_that_it_can_be_read_and_says_what_it_does_not_fit(
    name: str, kind: str, store: Store, tmp_path: Path
):
    truth = labelled(store, tmp_path, kind)
    if (name, kind) in TOLD:
        with pytest.raises(ValueError, match="nothing could be written. a.nii.gz: its* "):
            run(store, tmp_path / "out", name)
        return
    if kind not in WRITERS[name].fits:
        with pytest.raises(ValueError, match=f"volumes need {formats_for('volume')}") as refused:
            run(store, tmp_path / "out", name)
        assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()
        return
    out = run(store, tmp_path / "out", name)
    (image,) = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    assert image["files"] and all(file.startswith(f"{name}/") for file in image["files"])
    assert all((out / file).is_file() for file in image["files"])
    if name not in OF_PLANES:
        assert np.array_equal(READ.get(name, image_values)(out / image["files"][0]), truth)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_fits_some_format_and_every_format_some_image(kind: ImageKind):
    assert formats_for(kind)
    assert all(entry.title and set(entry.fits) <= set(KINDS) and entry.fits for entry in WRITERS.values())


@pytest.fixture
def fourth(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(WRITERS, "numpy", NUMPY)
    return "numpy"


def complete(store: Store) -> None:
    store.add_label(NewLabel(SliceRef(1, 0, 4), None, "c1", "ann"))


def test_one_more_format_goes_through_the_route(fourth: str, tmp_path: Path):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow)) as client:
        complete(workflow.store)
        with live(client) as tab:
            job = client.post("/api/export", json={"formats": [fourth, "nifti"]}).json()["job"]
            while (told := tab.wait("job", id=job)[0])["state"] == "running":
                pass
        assert told["state"] == "done", told
        names = zipfile.ZipFile(io.BytesIO(client.get(told["url"]).content)).namelist()
        assert {"numpy/ball.npy", "nifti/ball.nii.gz"} <= set(names)


def test_a_format_that_nobody_writes_is_refused_in_a_sentence_that_names_those_there_are(
    fourth: str, tmp_path: Path
):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow)) as client:
        for wrong, got in ((["dicom", "png"], "dicom"), ([], "none")):
            refused = client.post("/api/export", json={"formats": wrong})
            assert refused.status_code == 422
            assert refused.json()["error"] == (
                "The formats of this request is wrong: "
                f"export formats are {', '.join(WRITERS)}; got {got}; reload the page."
            )


def test_one_more_format_goes_through_the_command_line(
    fourth: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = Store(tmp_path / "project")
    store.add_image(ball()[0])
    complete(store)
    store.close()
    command = ["export", str(tmp_path / "out"), "--project", str(tmp_path / "project")]
    assert app.main([*command, "--format", fourth]) == 0
    assert np.load(tmp_path / "out" / "numpy" / "ball.npy").shape == (9, 17, 23)
    assert not (tmp_path / "out" / "nifti").exists()
    with pytest.raises(SystemExit):
        app.main([*command, "--format", "dicom"])
    assert re.search("nifti.*png.*coco.*numpy", capsys.readouterr().err)


def test_one_more_format_is_a_choice_on_the_page(fourth: str):
    from annotator.page.layout import build_page

    config = build_page().get_config_file()
    (choices,) = [c["props"] for c in config["components"] if c["props"].get("elem_id") == "export-formats"]
    assert [tuple(c) for c in choices["choices"]] == [(e.title, name) for name, e in WRITERS.items()]
    assert choices["value"] == ["nifti", "png", "coco"]
