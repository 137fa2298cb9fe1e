"""An exported model gives the app's own answer, for every learner that trains a network."""

from pathlib import Path

import numpy as np
import pytest

from annotator.learning import model_export
from annotator.learning.exported.program import main
from annotator.learning.model_export import export_model
from learners import LEARNERS
from learners.spec import Example
from storage import formats
from storage.store import Store
from tests.learners.test_every_learner import spec_of
from tests.support.exported_models import (
    colour_examples,
    predict_in_app,
    save_images,
    train_briefly,
)
from tests.support.small_models import small_sam

pytestmark = pytest.mark.usefixtures("one_thread")

AGREE = 0.999
NETWORKS = [name for name, entry in LEARNERS.items() if entry.network]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save_images(folder)
    return folder


@pytest.mark.parametrize("learner", NETWORKS)
def test_the_app_and_an_exported_model_agree_on_images_of_every_kind(
    store: Store, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: str
):
    monkeypatch.setattr("learners.methods.sfr.sam_here", lambda prompts: (small_sam(), "small"))
    check(store, learner, spec_of(tmp_path / "training", learner).examples, images, tmp_path)


def test_they_agree_where_the_network_learned_from_colour_pictures(
    store: Store, images: Path, tmp_path: Path
):
    check(store, "supervised", colour_examples(tmp_path / "training"), images, tmp_path)


def check(store: Store, learner: str, examples: tuple[Example, ...], images: Path, folder: Path) -> None:
    store.add_class("one")
    model = train_briefly(store, learner, examples)
    own = predict_in_app(store, learner, model, images)
    with pytest.MonkeyPatch.context() as patched:  # it takes two seconds and predicts nothing here
        patched.setattr(model_export, "write_onnx", lambda *asked: (None, "left out"))
        export_model(store, store.rounds, learner, folder / "model")
    assert main([str(images), str(folder / "out"), "--device", "cpu"], folder / "model") == 0
    same(own, folder / "out")


def same(own: dict[str, np.ndarray], out: Path) -> None:
    masks = {formats.stem(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    assert len(masks) == len(own) == 8
    for source, classes in own.items():
        path = out / Path(source).parent / f"{formats.stem(Path(source))}"
        (found,) = [p for p in masks.values() if str(p).startswith(f"{path}.")]
        mask, _ = formats.read_labels(found)
        assert mask.shape == classes.shape
        assert 0.1 < (classes == 1).mean() < 0.9, (
            "a prediction that is the same everywhere would prove nothing"
        )
        assert (mask == classes).mean() >= AGREE, source
