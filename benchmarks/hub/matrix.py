"""Which real clients and readers work with us: each is run by its own test, and a table says what came of it.

    python -m benchmarks.hub.matrix [--python PYTHON]

PYTHON is an interpreter with the tests' packages and those programs. What is not installed there says so. The test of
Label Studio needs LABEL_STUDIO, that of pydicom-seg PYDICOM_SEG_PYTHON; their docstrings tell what these are.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.common import ROOT, machine_line

DIALECTS, WRITERS = "tests/annotator/dialects", "tests/annotator/exchange/writers"
HEAD = "| program | version | what it does with us | its test | result |\n| --- | --- | --- | --- | --- |"
NOT_HERE = "not tried"


@dataclass(frozen=True)
class Client:
    """A program of somebody else, and the test that runs it."""

    name: str
    version: str
    does: str
    test: str  # FILE::NAME


CLIENTS = (
    Client(
        "MONAI Label's client (`monailabel`)",
        "0.8.5",
        "signs in; infer by clicks, scribbles, sessions and proposals; images and labels in and out; training",
        f"{DIALECTS}/test_monai.py::test_the_real_client_does_all_it_can",
    ),
    Client(
        "nnInteractive's client",
        "2.6.0",
        "points, boxes, scribbles, lassos, an initial segmentation, undo, lease",
        f"{DIALECTS}/test_nninteractive.py::test_the_real_client_does_all_it_can",
    ),
    Client(
        "Label Studio itself",
        "1.23.2",
        "connects, retrieves predictions of a batch, smart click, webhook of an annotation",
        f"{DIALECTS}/test_labelstudio.py::test_label_studio_itself_works_with_us",
    ),
    Client(
        "`monai.bundle run`",
        "1.6.1",
        "checks and runs our bundle of a trained model, in 2D and 3D",
        "tests/annotator/learning/exporting/test_bundle.py::"
        "test_monai_makes_the_same_masks_as_the_app_and_as_predict_py",
    ),
    Client(
        "`monai.data`",
        "1.6.1",
        "loads our data list with its scans",
        f"{WRITERS}/test_clients.py::test_monai_loads_our_list",
    ),
    Client(
        "`nnUNetv2_plan_and_preprocess --verify_dataset_integrity`",
        "2.8.1",
        "checks, plans and preprocesses our raw data set with `ignore`",
        f"{WRITERS}/test_nnunet.py::test_nnunet_checks_plans_and_preprocesses_it",
    ),
    Client(
        "dcmqi's `segimage2itkimage`",
        "1.5.7",
        "reads DICOM-SEG, binary and label map: the same places",
        f"{WRITERS}/test_dicom_seg.py::test_dcmqi_finds_as_many_voxels_at_the_same_places",
    ),
    Client(
        "pydicom-seg",
        "0.4.1",
        "reads binary DICOM-SEG: the same places. It does not know label maps",
        f"{WRITERS}/test_dicom_seg.py::test_pydicom_seg_finds_the_same_places",
    ),
    Client(
        "dcmrtstruct2nii",
        "5",
        "reads RTSTRUCT: the same voxels",
        f"{WRITERS}/test_rtstruct.py::test_dcmrtstruct2nii_finds_the_same_voxels",
    ),
    Client(
        "zarr and ome-zarr",
        "3.1.5, 0.18.0",
        "open OME-Zarr with labels",
        f"{WRITERS}/test_ome_zarr.py::test_zarr_and_ome_zarr_open_them",
    ),
    Client(
        "cvat-sdk's `decode_mask`",
        "2.80.0",
        "unpacks the masks of CVAT XML",
        f"{WRITERS}/test_clients.py::test_cvat_sdk_unpacks_our_masks",
    ),
    Client(
        "labelme's `shapes_to_label`",
        "5.10.1",
        "draws our shapes, with Qt stood in for",
        f"{WRITERS}/test_clients.py::test_labelme_draws_our_shapes",
    ),
    Client(
        "Cellpose's `load_train_test_data`",
        "4.2.1.1",
        "finds images and masks to train on",
        f"{WRITERS}/test_clients.py::test_cellpose_finds_images_and_masks_to_train_on",
    ),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--python", default=sys.executable, help="an interpreter with these programs")
    results = outcomes(options.parse_args().python)
    print(HEAD)
    for client in CLIENTS:
        print(row_of(client, results.get(client.test, NOT_HERE)))
    print("machine: " + machine_line())


def row_of(client: Client, result: str) -> str:
    file = client.test.partition("::")[0].rpartition("/")[2]
    return f"| {client.name} | {client.version} | {client.does} | `{file}` | {result} |"


def outcomes(python: str) -> dict[str, str]:
    """Test -> works, fails or not tried."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = [client.test for client in CLIENTS]
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        subprocess.run(command, cwd=ROOT, check=False)
        for case in ET.parse(report).iter("testcase"):
            module, name = case.get("classname", ""), case.get("name", "").partition("[")[0]
            test = f"{module.replace('.', '/')}.py::{name}"
            skipped, failed = (case.find(what) is not None for what in ("skipped", "failure"))
            failed = failed or case.find("error") is not None or found.get(test) == "fails"
            found[test] = "fails" if failed else NOT_HERE if skipped else "works"
    return found


if __name__ == "__main__":
    main()
