"""A trained model as a MONAI bundle: MONAI itself runs it, and its masks are those of the app and of predict.py."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from annotator.learning import model_export
from annotator.learning.exported.program import main
from annotator.learning.model_export import export_bundle, export_model
from annotator.learning.model_import import import_model
from learners.spec import Example
from learners.training.checkpoint import read_card
from storage import formats
from storage.store import Store
from tests.annotator.learning.test_model_export import trained
from tests.learners.test_every_learner import spec_of
from tests.support.exported_models import colour_examples, predict_in_app, save_images, train_briefly

pytest.importorskip("monai.bundle", reason="MONAI runs the bundle; pip install -r requirements-dev.txt")
pytestmark = pytest.mark.usefixtures("one_thread")

AGREE = 0.999
CONFIG = "configs/inference.json"
CHECKED_AND_RUN = f"""
import sys
from monai.bundle import ConfigWorkflow, verify_net_in_out, run
sys.path.insert(0, ".")
workflow = ConfigWorkflow("{CONFIG}", workflow_type="infer", device="cpu")
workflow.initialize()
assert workflow.check_properties() == []
verify_net_in_out("network_def", meta_file="configs/metadata.json", config_file="{CONFIG}", device="cpu", n=4)
run(config_file="{CONFIG}", dataset_dir=sys.argv[1], output_dir=sys.argv[2], device="cpu")
"""


def examples_of(folder: Path, dims: int) -> tuple[Example, ...]:
    """Of a known spacing, so that images of another one are resampled."""
    found = colour_examples(folder) if dims == 2 else spec_of(folder, "supervised").examples
    return tuple(replace(each, spacing_mm=(1.0, 1.0, 1.0)) for each in found)


@pytest.mark.parametrize(
    ("dims", "command"),
    [(2, ("-c", CHECKED_AND_RUN)), (3, ("-m", "monai.bundle", "run", "--config_file", CONFIG))],
)
def test_monai_makes_the_same_masks_as_the_app_and_as_predict_py(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dims: int, command: tuple[str, ...]
):
    """Of volumes of other spacing and orientation, pictures and a DICOM series. In two dimensions MONAI checks first
    what the bundle says of itself."""
    monkeypatch.setattr(model_export, "write_onnx", lambda *asked: (None, "left out"))
    store.add_class("one")
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    save_images(images)
    model = train_briefly(store, "supervised", examples_of(tmp_path / "training", dims))
    card = read_card(model)
    assert card.network.dims == dims and card.spacing_known
    own = predict_in_app(store, "supervised", model, images)
    bundle = export_bundle(store, "supervised", tmp_path / "bundle").folder
    export_model(store, store.rounds, "supervised", tmp_path / "model")
    assert main([str(images), str(tmp_path / "mine"), "--device", "cpu"], tmp_path / "model") == 0
    named = ("--dataset_dir", str(images), "--output_dir", str(out))
    run_in(bundle, *command, *(named[1::2] if dims == 2 else named))
    masks = [path for path in out.rglob("*") if path.is_file()]
    assert len(masks) == len(own) == 8
    for path in masks:
        mask, grid = formats.read_labels(path)
        mine, own_grid = formats.read_labels(tmp_path / "mine" / path.relative_to(out))
        assert grid == own_grid and (mask == mine).mean() >= AGREE, path
    for source, classes in own.items():
        (path,) = [path for path in masks if formats.stem(path) == formats.stem(Path(source))]
        mask, _ = formats.read_labels(path)
        assert (mask == classes).mean() >= AGREE and 0.1 < (classes == 1).mean() < 0.9, source
    taken = import_model(store, store.rounds, "supervised", bundle / "models")
    assert read_card(store.rounds.folder(taken.id)).network == card.network


def run_in(folder: Path, *given: str) -> None:
    done = subprocess.run(
        [sys.executable, *given], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_a_bundle_says_of_itself(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_export, "write_onnx", lambda *asked: (None, "left out"))
    trained(store, 2, 3)
    bundle = export_bundle(store, "supervised", tmp_path / "bundle").folder
    told = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert told["network_data_format"]["inputs"]["image"]["channel_def"]["2"] == "blue"
    outputs = told["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert outputs == {"0": "background", "1": "cell", "2": "wall"}
    assert "torch" not in told["required_packages_version"] and told["monai_version"] == "1.6.1"
    assert "no medical device" in (bundle / "docs" / "README.md").read_text()
    assert "monai==1.6.1" in (bundle / "requirements.txt").read_text().split()
    with pytest.raises(ValueError, match="not empty"):
        export_bundle(store, "supervised", bundle)
