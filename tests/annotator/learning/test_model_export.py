"""Trained models outside the app: the folder works in a fresh process that knows nothing of us."""

import json
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from annotator.exchange.channels.channel_files import ChannelFiles
from annotator.learning.exporting.packing import LAUNCHER
from annotator.learning.model_export import export_model
from annotator.learning.model_import import import_model
from learners.objects.scores import ObjectCounts
from learners.training.checkpoint import Card, load_network, read_card, save_model
from learners.training.data import normalised, percentiles
from learners.training.state import TrainingState
from models.networks import NetworkSpec, UNet
from storage.rounds import Finished
from tests.conftest import ball


def trained(store, dims: int, channels: int = 1, named: tuple[str, ...] = ()):
    """A project with a model of a learner; untrained weights serve as well here."""
    for name in ("cell", "wall"):
        store.add_class(name)
    rounds = store.rounds
    rounds.sweep()
    torch.manual_seed(3)
    strides = ((2,) * dims, (2,) * dims)
    spec = NetworkSpec(dims, channels, 3, (8, 16, 16), strides, named=named)
    row = rounds.start("supervised", 0)
    card = Card(spec, (1, 2), (1.0,) * dims, "supervised", steps=5, dice=0.8, per_class={1: 0.9, 2: 0.7})
    save_model(rounds.folder(row.id), TrainingState.fresh(UNet(spec)), card)
    found = ObjectCounts(10, 9, (8, *[4] * 9), 6.4, 1, 2, 1, 1)
    metrics = {"seconds": 1.0, "per_class": {"1": 0.9, "2": 0.7}, "objects": {"1": found.as_json()}}
    rounds.finish(row.id, Finished(row.id, 0.8, 0.8, None, metrics))
    return rounds


def run(folder, *given):
    command = [sys.executable, "-I", str(folder / "predict.py"), *map(str, given)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=100)


def expected(folder, pixels: np.ndarray, channels: int) -> np.ndarray:
    """(Z, Y, X) class values by our own code."""
    network = load_network(folder)
    x = normalised(torch.from_numpy(pixels), *percentiles(pixels), channels)
    best = answer(network, x[None] if network.spec.dims == 3 else x.movedim(1, 0))
    return best[tuple(slice(0, n) for n in pixels.shape[:3])]


def answer(network: UNet, x: torch.Tensor) -> np.ndarray:
    """(Z, Y, X) classes, padded to what the network takes."""
    sides = x.shape[2:]
    pads = [n for m, side in zip(network.spec.multiple[::-1], sides[::-1]) for n in (0, -side % m)]
    x = torch.nn.functional.pad(x, pads, mode="replicate")
    with torch.inference_mode():
        best = network(x).argmax(1).numpy()
    return best[0] if network.spec.dims == 3 else best


def test_an_exported_model_takes_the_channels_that_it_learned_and_no_others(store, tmp_path):
    rounds = trained(store, 3, 2, ("T1", "FLAIR"))
    exported = export_model(store, rounds, "supervised", tmp_path / "model")
    assert exported.onnx_difference is not None and exported.onnx_difference < 1e-3
    data = tmp_path / "set/imagesTs"
    data.mkdir(parents=True)
    names = {"channel_names": {"0": "FLAIR", "1": "T1"}}
    (data.parent / "dataset.json").write_text(json.dumps(names))
    rng = np.random.default_rng(0)
    for number in range(2):  # by their names, whatever their order
        values = rng.integers(0, 900, (20, 22, 12)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([-1, -1, -1, 1])), data / f"a_{number:04}.nii.gz")
    run(exported.folder, data, tmp_path / "masks")
    files = ChannelFiles((data / "a_0000.nii.gz", data / "a_0001.nii.gz"), ("FLAIR", "T1"), data / "a.nii.gz")
    flair, t1 = (channel.values for channel in files.read("nifti").named)
    x = [normalised(torch.from_numpy(v), *percentiles(v), 1) for v in (t1, flair)]
    wanted = answer(load_network(exported.folder), torch.cat(x)[None])
    mask = nibabel.load(tmp_path / "masks/a.nii.gz").get_fdata()
    found = np.transpose(mask, (2, 1, 0))[:, :20, :20]
    assert (found == wanted[:, :20, :20]).mean() > 0.99
    alone = subprocess.run(
        [sys.executable, "-I", "predict.py", data / "a_0000.nii.gz", tmp_path / "more"],
        cwd=exported.folder, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert alone.returncode == 1 and "none of the channels that the model learned (T1, FLAIR)" in alone.stderr


def test_a_model_of_one_channel_takes_the_sequences_of_a_visit_one_by_one(store, tmp_path):
    rounds = trained(store, 3)
    exported = export_model(store, rounds, "supervised", tmp_path / "model")
    rng = np.random.default_rng(0)
    (tmp_path / "anat").mkdir()
    for kind in ("T1w", "FLAIR"):
        values = rng.integers(0, 900, (20, 22, 12)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"anat/sub-01_{kind}.nii.gz")
    run(exported.folder, tmp_path / "anat", tmp_path / "masks")
    assert {p.name for p in (tmp_path / "masks").iterdir()} == {"sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz"}


@pytest.mark.parametrize("channels", [3])
def test_an_exported_model_predicts_a_picture_in_a_fresh_process(store, tmp_path, channels):
    rounds = trained(store, 2, channels)
    exported = export_model(store, rounds, "supervised", tmp_path / "model")
    assert exported.onnx_difference is not None and exported.onnx_difference < 1e-3
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (30, 45) if channels == 1 else (30, 45, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "new.png")
    run(exported.folder, tmp_path / "new.png", tmp_path / "masks")
    mask = np.asarray(Image.open(tmp_path / "masks" / "new.png"))
    assert (
        mask.shape == (30, 45)
        and (mask == expected(exported.folder, picture[None], channels)[0]).mean() > 0.99
    )


def test_an_exported_model_predicts_a_volume_whatever_its_orientation(store, tmp_path):
    rounds = trained(store, 3)
    folder = export_model(store, rounds, "supervised", tmp_path / "model").folder
    shown = ball()[0].pixels  # (z, y, x): to the feet, to the back, to the left
    affine = np.diag([1.0, -1.0, -2.0, 1.0])  # our x, y, z as left, posterior, inferior in RAS millimetres
    affine[0, 0] = -1.0
    first = nibabel.Nifti1Image(shown.T, affine)
    turned = nibabel.as_closest_canonical(first)
    turned_images = {"a": first, "b": turned}
    for name, image in turned_images.items():
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    run(folder, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", tmp_path / "masks")
    masks = []
    for name, image in turned_images.items():
        mask = nibabel.load(tmp_path / "masks" / f"{name}.nii.gz")
        assert np.allclose(mask.affine, image.affine)
        masks.append(np.asarray(nibabel.as_closest_canonical(mask).dataobj))
    assert (masks[0] == masks[1]).all() and len(np.unique(masks[0])) > 1
    wanted = expected(folder, shown, 1)
    own = np.asarray(nibabel.load(tmp_path / "masks" / "a.nii.gz").dataobj).T
    assert (own == wanted).mean() > 0.99


def test_the_card_says_what_the_model_knows_and_saw(store, tmp_path):
    folder = export_model(store, trained(store, 2), "supervised", tmp_path / "model").folder
    card = json.loads((folder / "model.json").read_text())
    assert [c["name"] for c in card["classes"]] == ["cell", "wall"] and card["held_out_dice"] == card[
        "dice"
    ] == 0.8
    assert card["per_class"] == {"1": 0.9, "2": 0.7} and card["normalisation"]["percentiles"] == [0.5, 99.5]
    assert {"labels_seen", "licence", "torch", "onnx", "input"} <= set(card)
    assert (folder / "predict.py").read_bytes() == LAUNCHER.read_bytes()


def test_a_model_can_be_taken_in_again_as_a_start(store, tmp_path):
    rounds = trained(store, 2)
    folder = export_model(store, rounds, "supervised", tmp_path / "model").folder
    row = import_model(store, rounds, "unimatch", folder)
    assert rounds.model("unimatch") == rounds.folder(row.id) and read_card(
        rounds.folder(row.id)
    ).class_ids == (1, 2)


@pytest.mark.parametrize("harm", ["no card", "not json", "other network", "cut short", "pickle"])
def test_a_damaged_or_hostile_model_is_refused_in_words_and_runs_nothing(store, tmp_path, harm):
    rounds = trained(store, 2)
    folder = export_model(store, rounds, "supervised", tmp_path / "model").folder
    card, weights = folder / "model.json", folder / "model.safetensors"
    if harm == "no card":
        card.unlink()
    elif harm == "not json":
        card.write_text("[]")
    elif harm == "other network":
        card.write_text(card.read_text().replace("16", "24"))
    elif harm == "cut short":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        torch.save({"head.weight": torch.zeros(1)}, weights)
    with pytest.raises(ValueError, match="cannot be read|do not fit"):
        import_model(store, rounds, "unimatch", folder)


def test_a_learner_without_a_model_says_so(store, tmp_path):
    rounds = trained(store, 2)
    with pytest.raises(LookupError, match="bcp has no model yet"):
        export_model(store, rounds, "bcp", tmp_path / "model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ValueError, match="not empty"):
        export_model(store, rounds, "supervised", tmp_path / "full")


def test_an_export_of_before_the_fuller_card_comes_in_all_the_same(store, tmp_path):
    rounds = trained(store, 2)
    folder = export_model(store, rounds, "supervised", tmp_path / "model").folder
    card = json.loads((folder / "model.json").read_text())
    for key in ("intended_use", "training_data", "held_out", "limits", "spacing_known", "rounds"):
        del card[key]
    (folder / "model.json").write_text(json.dumps(card))
    for extra in ("report.html", "requirements.txt"):
        (folder / extra).unlink()
    row = import_model(store, rounds, "unimatch", folder)
    assert read_card(rounds.folder(row.id)).class_ids == (1, 2)


@pytest.mark.parametrize("harm", ["deep", "long", "huge network", "endless network"])
def test_a_card_that_asks_for_memory_is_refused_before_it_gets_any(store, tmp_path, harm):
    rounds = trained(store, 2)
    folder = tmp_path / "model"
    folder.mkdir()
    source = rounds.model("supervised")
    for name in ("model.json", "model.safetensors"):
        (folder / name).write_bytes((source / name).read_bytes())
    card = json.loads((folder / "model.json").read_text())
    if harm == "huge network":
        card["network"]["widths"] = [4096, 4096, 4096]
    if harm == "endless network":
        card["network"]["widths"], card["network"]["strides"] = [8] * 5000, [[2, 2]] * 4999
    text = json.dumps(card)
    text = {"deep": '{"network": ' + "[" * 200_000, "long": text + " " * (2 << 20)}.get(harm, text)
    (folder / "model.json").write_text(text)
    with pytest.raises(ValueError, match="cannot be read|do not fit"):
        import_model(store, rounds, "unimatch", folder)
