"""Every file of an export has a name of its own that says where its image came from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.export_names import reserve_names
from annotator.exchange.writers import WRITERS
from annotator.exchange.writers.contract import ExportFolder, LabelledImage
from annotator.jobs import Job
from storage.formats import grid_of_image
from storage.rows import ImageRow
from storage.scan import Scan
from storage.store import Store
from tests.annotator.exchange.test_import_images import mask, picture, run


def names(store: Store, *sources: str) -> list[str]:
    pixels = np.zeros((1, 3, 4), np.uint8)
    for number, source in enumerate(sources):
        pixels[0, 0, 0] = number
        store.add_image(Scan(source.split("/")[-1], pixels, None, None, source=source))
    images = store.images(limit=-1)[1]
    found = reserve_names(images)
    assert len({(name + end).casefold() for name in found.values() for end in ("", "_instances")}) == 2 * len(
        images
    )
    return [found[image.id] for image in images]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["A/b_3.png", "B/b.jpg", "C/b.png"], ["b_3", "B_b", "C_b"]),
        (["a.png", "x/a.png"], ["a", "x_a"]),
        (["a.png", "a.tif", "b.ome.tif", "b.png"], ["a_png", "a_tif", "b_ome_tif", "b_png"]),
        (["in/x/a.png", "in/y/a.png"], ["x_a", "y_a"]),
        (["1/x/a.png", "2/x/a.png"], ["1_x_a", "2_x_a"]),
        (["a.png", "A.png"], ["a_1", "A_2"]),
        (["a.png", "a.jpg"], ["a_png", "a_jpg"]),
        (["a.nii.gz", "a_instances.nii.gz"], ["a_1", "a_instances_2"]),
        (["x/a.png", "y/a.png", "x_a.png"], ["x_a_1", "y_a", "x_a_3"]),
        (["nul.png", "b?:.png"], ["_nul", "b"]),
        (["ä.png", "a\u0308.png"], ["ä_1", "ä_2"]),
        (["字" * 80 + "1.png", "字" * 80 + "2.png"], ["字" * 66 + "1", "字" * 66 + "2"]),
    ],
)
def test_names_are_apart_and_show_where_an_image_came_from(sources, expected, store: Store):
    assert names(store, *sources) == expected


def test_three_masks_of_one_name_are_three_files(store: Store, tmp_path: Path):
    for rows, name in enumerate(["A/b_3.png", "B/b.jpg", "C/b.png"], start=1):
        picture(tmp_path / "images" / name, seed=rows)
        values = np.zeros((12, 17), np.uint16)
        values[:rows] = 1
        mask(tmp_path / "labels" / Path(name).with_suffix(".png"), values)
    run(store, tmp_path)
    out = export(store, tmp_path / "out", ExportRequest(("png",)), Job("export"))
    found = {path.stem: int((np.asarray(Image.open(path)) > 0).sum()) for path in out.rglob("*.png")}
    assert found == {
        f"{name}{end}": 17 * n
        for name, n in (("b_3", 1), ("B_b", 2), ("C_b", 3))
        for end in ("", "_instances")
    }


@pytest.mark.parametrize("name", WRITERS)
def test_no_file_of_a_format_replaces_another(name: str, store: Store, tmp_path: Path):
    image_id = store.add_image(Scan("a", np.zeros((1, 3, 4), np.uint8), None, None))
    folder = ExportFolder(tmp_path, name, "project")
    folder.place("One.png", labelled_image(store.image(image_id)))
    with pytest.raises(ValueError, match="written twice"):
        folder.place("one.png", labelled_image(replace(store.image(image_id), name="b")))


def labelled_image(row: ImageRow) -> LabelledImage:
    grid = grid_of_image(row.geometry, row.shape, row.spacing_mm)
    return LabelledImage(row, grid, "one", np.zeros(row.shape, np.uint8), None, unknown=0, numbers={})
