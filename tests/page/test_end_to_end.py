"""The whole way of a label, as a person goes it: click in each plane, accept, take back, restart, find, export."""

import gzip
import io
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from scipy import ndimage

from annotator.exchange.examples.gallery import torso
from tests.support.chromium import (
    PageWatch,
    RunningServer,
    new_context,
    open_page,
    start_server,  # noqa: F401,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ON_SCREEN = """({axis, row, col}) => {
  const view = window.__slicewise.views.find((v) => v.axis === axis);
  const box = view.overlay.getBoundingClientRect();
  const at = view.camera.toScreen(row, col);
  return {x: box.x + at.x / view.camera.dpr, y: box.y + at.y / view.camera.dpr};
}"""


FIND = "((axis) => window.__slicewise.views.find((v) => v.axis === axis))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end-to-end")


@pytest.fixture
def people(browser: Browser) -> Iterator[Browser]:
    yield browser


def test_a_label_goes_from_a_click_to_a_nifti_in_the_same_place_of_the_world(people: Browser, folder: Path):
    kidney = brightest_organ()
    deepest = int(ndimage.distance_transform_edt(kidney, sampling=(2, 1, 1)).argmax())
    z, y, x = (int(v) for v in np.unravel_index(deepest, kidney.shape))
    deep = (z, y, x)
    server = start_server(folder, "--prompt-workers", "2")
    page, watch = fresh_page(people, server)
    point_at(page, deep)
    drawn = {axis: click_and_accept(page, axis, deep) for axis in (0, 1, 2)}
    page.keyboard.press("Control+z")
    eventually(lambda: labelled(page), [[0, deep[0]], [1, deep[1]]])
    before = voxels(page)
    watch.check()
    page.context.close()
    server.stop()

    server = start_server(folder)
    page, watch = fresh_page(people, server)
    assert labelled(page) == [[0, deep[0]], [1, deep[1]]] and voxels(page) == before
    page.keyboard.press("Control+Shift+z")
    eventually(lambda: labelled(page)[-1], [2, deep[2]])
    archive = export(page)
    watch.check()
    page.context.close()
    server.stop()

    volume, affine = label_volume(archive, "phantom")
    for axis in (0, 1, 2):
        assert iou(plane_in_world(volume, affine, axis, deep), truth_plane(kidney, axis, deep)) > 0.75
    assert drawn[0] > 100


def brightest_organ() -> NDArray[np.bool_]:
    """The truth of the phantom's left kidney: it stands alone and stands out."""
    scan, truth = torso()
    components, count = ndimage.label(truth == 1)
    means = ndimage.mean(scan.pixels, components, range(1, count + 1))
    return components == 1 + int(np.argmax(means))


def fresh_page(people: Browser, server: RunningServer) -> tuple[Page, PageWatch]:
    page = new_context(people, accept_downloads=True).new_page()
    watch = PageWatch(server.address)
    watch.follow(page)
    return open_page(page, server.address), watch


def point_at(page: Page, voxel: tuple[int, int, int]) -> None:
    """Bring the three planes to a voxel with the linked crosshair: Shift and the mouse."""
    z, y, x = voxel
    page.keyboard.down("Shift")
    hover(page, 0, y, x)
    page.wait_for_function(
        "([y, x]) => view(1).index === y && view(2).index === x".replace("view", FIND), arg=[y, x]
    )
    hover(page, 1, z, x)
    page.wait_for_function("([z]) => view(0).index === z".replace("view", FIND), arg=[z])
    page.keyboard.up("Shift")


def hover(page: Page, axis: int, row: int, col: int) -> None:
    at = page.evaluate(ON_SCREEN, {"axis": axis, "row": row, "col": col})
    page.mouse.move(at["x"] + 3, at["y"] + 3)
    page.mouse.move(at["x"], at["y"])


def click_and_accept(page: Page, axis: int, voxel: tuple[int, int, int]) -> int:
    """Click the voxel in one plane, accept the mask; how many voxels are labelled then."""
    row, col = (int(v) for i, v in enumerate(voxel) if i != axis)
    at = page.evaluate(ON_SCREEN, {"axis": axis, "row": row, "col": col})
    page.mouse.click(at["x"], at["y"])
    page.wait_for_function("() => window.__slicewise.state.mask", timeout=20_000)
    page.keyboard.press("Enter")
    eventually(lambda: [axis, voxel[axis]] in labelled(page), True)
    expect(page.get_by_text("Saved", exact=True)).to_be_visible(timeout=10_000)
    return voxels(page)


def eventually(look: Callable[[], Any], wanted: Any, seconds: float = 15) -> None:
    """What the server says becomes what is wanted."""
    until = time.monotonic() + seconds
    while look() != wanted and time.monotonic() < until:
        time.sleep(0.1)
    assert look() == wanted


def labelled(page: Page) -> list[list[int]]:
    """What the server has durable: the slices of the open image that carry labels."""
    slices = page.evaluate(
        "async () => (await (await fetch(`/api/images/${window.__slicewise.state.image}`)).json()).slices"
    )
    return [entry[:2] for entry in slices]


def voxels(page: Page) -> int:
    """Labelled voxels on the server's disk."""
    return page.evaluate("""async () => {
      const id = window.__slicewise.state.image, depth = (await (await fetch(`/api/images/${id}`)).json()).shape[0];
      const body = await (await fetch(`/api/images/${id}/labels?z0=0&z1=${depth}`)).arrayBuffer();
      return new Uint8Array(body).reduce((sum, value) => sum + (value > 0 && value < 255), 0);
    }""")


def export(page: Page) -> zipfile.ZipFile:
    """Use the Data tab as a person would; the zip that the browser downloads."""
    page.get_by_role("tab", name="Data").click()
    page.get_by_role("button", name=re.compile("^Export")).click()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_text("Download the export").click(timeout=60_000)
    return zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))


def label_volume(archive: zipfile.ZipFile, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """(i, j, k) labels and the voxel-to-world matrix of an exported NIfTI."""
    inside = next(
        n for n in archive.namelist() if name in n and n.endswith(".nii.gz") and "instance" not in n
    )
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(archive.read(inside)))
    return np.asarray(image.dataobj).astype(np.uint8), image.affine


def plane_in_world(
    volume: NDArray[np.uint8], affine: NDArray[np.float64], axis: int, voxel: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """The exported labels at the world positions of a slice of the phantom, (rows, columns)."""
    scan, _ = torso()
    to_world = np.array(scan.geometry["affine"])  # the phantom's own: display x, y, z are its i, j, k
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in scan.shape), indexing="ij"), -1)
    world = nibabel.affines.apply_affine(to_world, np.take(grid, int(voxel[axis]), axis)[..., ::-1])
    ijk = np.rint(nibabel.affines.apply_affine(np.linalg.inv(affine), world)).astype(int)
    return volume[ijk[..., 0], ijk[..., 1], ijk[..., 2]] == 1


def truth_plane(kidney: NDArray[np.bool_], axis: int, voxel: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The truth of the object that was clicked: its component on the slice."""
    cut = np.take(kidney, int(voxel[axis]), axis)
    row, column = (int(v) for i, v in enumerate(voxel) if i != axis)
    components, _ = ndimage.label(cut)
    return components == components[row, column]


def iou(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    return float((found & wanted).sum() / (found | wanted).sum())
