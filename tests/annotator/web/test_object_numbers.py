"""Numbers of objects on their whole way: out of a mask, into labels that are drawn, and out again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.protocol.frames import encode_runs
from tests.support.asgi_client import live, small_app, small_workflow, visit


@pytest.mark.parametrize("highest", [65535, 70000])
def test_after_the_highest_number_of_a_mask_the_next_object_gets_a_free_one(tmp_path: Path, highest: int):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (60, 80)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "images/a.png")
    numbers = np.zeros((60, 80), np.uint32)
    numbers[5:15, 5:15], numbers[20:25, 5:15] = highest, 7
    Image.fromarray(numbers.astype(np.uint16 if highest == 65535 else np.int32)).save(
        tmp_path / "labels/a.tif"
    )
    with small_workflow(tmp_path) as workflow:
        report = import_path(workflow.store, tmp_path, Job("import"), objects=True)
        (image,) = report.labelled
        cell = next(row.id for row in workflow.store.classes() if row.name == "object")
        box = [30, 30, 40, 40]
        said = {"t": "label", "id": "next", "image": image, "axis": 0, "index": 0, "box": box}
        how = {"source": "drawn", "base_rev": 0, "instance": -1, "prompts": {}, "seconds": 1}
        with visit(small_app(workflow)) as client, live(client) as link:
            link.send({**said, **how}, encode_runs(np.full((10, 10), cell, np.uint8)))
            ack, _ = link.wait("ack", id="next")
        assert 0 < ack["instance"] < 65535 and ack["instance"] != 7
        export(workflow.store, tmp_path / "out", ExportRequest(images=(image,)), Job("export"))
    written = np.asarray(Image.open(tmp_path / "out/png/a_instances.png"))
    drawn = np.unique(written[30:40, 30:40]).tolist()
    assert drawn == [ack["instance"]] and len(np.unique(written)) == 4
