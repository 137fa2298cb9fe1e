"""An exported model gives the app's own answer, for every learner that trains a network."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.learning import model_export
from annotator.learning.exported.program import main
from annotator.learning.model_export import export_model
from annotator.learning.model_import import import_model
from learners import LEARNERS
from learners.progress import objects_file, read_progress
from learners.spec import Example
from learners.training.checkpoint import FinalFacts, read_card
from learners.training.tidying import ClassTidying, Tidying
from storage import formats
from storage.rows import ImageRow
from storage.store import Store
from tests.conftest import ball
from tests.learners.test_every_learner import spec_of
from tests.support.exported_models import (
    colour_examples,
    example_of,
    predict_again,
    predict_in_app,
    save_images,
    train_briefly,
)
from tests.support.small_models import small_sam

pytestmark = pytest.mark.usefixtures("one_thread")

AGREE = 0.999
MENDED = Tidying({1: ClassTidying(fill=True, smallest=20, largest=False)})
ADAPTED_BY = (("auto", "tent"), ("unet-s-bn", "bn_adapt"))  # tuned layers; the statistics of batch norms
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


def test_they_agree_where_a_final_model_has_folds_is_asked_mirrored_and_mends(
    store: Store, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two networks that leave out an image each, and all that can be mended of a class."""
    monkeypatch.setattr("tests.support.exported_models.FINAL", FinalFacts(2, (1,), MENDED))
    examples = spec_of(tmp_path / "training", "final").examples
    known = replace(examples[0], image_id=9)
    check(store, "final", (*examples, known), images, tmp_path)
    card = read_card(tmp_path / "model")
    assert (
        card.final == FinalFacts(2, (1,), MENDED) and (tmp_path / "model" / "member-1.safetensors").is_file()
    )


@pytest.mark.parametrize(("network", "adapter"), ADAPTED_BY)
def test_they_agree_where_the_model_is_adapted_to_groups_of_images(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, adapter: str
):
    monkeypatch.setattr("learners.adapt.adapted.GAIN", -2.0)  # keep what it makes, however good
    monkeypatch.setattr(model_export, "write_onnx", lambda *asked: (None, "left out"))
    store.add_class("one")
    (tmp_path / "images").mkdir()
    for name in ("a1", "a2", "b1", "b2"):
        pixels = ball((12, 24, 28), seed=ord(name[1]))[0].pixels.astype(np.int16)
        stored = (pixels * (3 if name[0] == "b" else 1)).transpose()
        nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "images" / f"{name}.nii.gz")
    import_path(store, tmp_path / "images", Job("import"))

    def example(row: ImageRow) -> Example:
        pixels, held = np.load(row.path), row.name.startswith(("a2", "b2"))
        np.save(tmp_path / f"{row.name}.npy", (pixels > pixels.mean() + pixels.std()).astype(np.uint8))
        return replace(
            example_of(row), known=tmp_path / f"{row.name}.npy", all_held=held, group=row.name[0],
            slices=tuple((0, index) for index in range(row.shape[0])),
        )  # fmt: skip

    examples = tuple(map(example, store.images(limit=-1)[1]))
    model = train_briefly(store, "supervised", examples, network)
    plain = predict_again(store, "supervised", model, example)
    own = predict_again(store, "supervised", model, example, adapter)
    export_model(store, store.rounds, "supervised", tmp_path / "model")
    for group in "ab":
        given = [str(path) for path in sorted((tmp_path / "images").glob(f"{group}*"))]
        options = ["--group", group, "--device", "cpu"]
        assert main([*given, str(tmp_path / "out"), *options, "--anyway"], tmp_path / "model") == 0
        main([*given, str(tmp_path / "shown"), *options], tmp_path / "model")
    written = {path.name for path in (tmp_path / "shown").glob("*")}
    shown, nothing_like_labels = by_the_app(store)
    assert shown <= written and not nothing_like_labels & written, "it withholds others"
    assert any((plain[source] != own[source]).mean() > 1 - AGREE for source in own), "it changed nothing"
    for source, classes in own.items():
        mask, _ = formats.read_labels(tmp_path / "out" / source)
        assert (mask == classes).mean() >= AGREE, source
    assert main([*given, str(tmp_path / "out"), "--group", "c"], tmp_path / "model") == 2


def by_the_app(store: Store) -> tuple[set[str], set[str]]:
    """Files of the images that the newest round withheld from nobody, and of those that it withheld by their labels."""
    newest = store.rounds.newest("supervised", "done")
    progress = read_progress(store.rounds.folder(newest.id)) if newest else None
    assert progress is not None
    names = {row.id: row.source for row in store.images(limit=-1)[1]}
    shown = {name for image_id, name in names.items() if image_id not in progress.withheld}
    told = {names[i] for i, reason in progress.withheld.items() if reason in ("everywhere", "outside")}
    return shown, told


@pytest.mark.parametrize("learner", ["objects", "flows"])
def test_an_exported_model_tells_the_same_objects_apart(
    store: Store, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: str
):
    monkeypatch.setattr(model_export, "write_onnx", lambda *asked: (None, "left out"))
    store.add_class("one")
    model = train_briefly(store, learner, numbered(spec_of(tmp_path / "training", learner).examples))
    own = predict_in_app(store, learner, model, images)
    newest = store.rounds.newest(learner, "done")
    assert newest is not None
    export_model(store, store.rounds, learner, tmp_path / "model")
    assert main([str(images), str(tmp_path / "out"), "--device", "cpu"], tmp_path / "model") == 0
    found = 0
    for row in store.images(limit=-1)[1]:
        bare = tmp_path / "out" / Path(row.source).parent / formats.stem(Path(row.source))
        for name, wanted in (
            ("", own[row.source]),
            ("_instances", np.load(objects_file(store.rounds.folder(newest.id), row.id))),
        ):
            (path,) = bare.parent.glob(f"{bare.name}{name}.*")
            mask, _ = formats.read_labels(path)
            assert mask.shape == wanted.shape and (mask == wanted).mean() >= AGREE, path
            assert np.array_equal(np.unique(mask), np.unique(wanted)), path
        found += int(wanted.max())
    assert found > 8, "objects that are everywhere one prove little"
    other = Store(tmp_path / "other")
    for name in ("zero", "one"):
        other.add_class(name)
    taken = import_model(other, other.rounds, learner, tmp_path / "model")
    assert taken.model_round is not None
    card = read_card(other.rounds.folder(taken.model_round))
    assert card.objects is not None and card.objects.class_ids == card.class_ids == (2,)
    other.close()


def numbered(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """Each object is two, a left and a right one."""
    out = []
    for example in examples:
        if example.known is not None:
            known = np.load(example.known)
            halves = known * (1 + (np.arange(known.shape[2]) > 13)).astype(np.uint16)
            path = example.known.with_name(f"{example.image_id}-numbers.npy")
            np.save(path, halves.astype(np.uint16))
            example = replace(example, numbers=path)
        out.append(example)
    return tuple(out)


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
