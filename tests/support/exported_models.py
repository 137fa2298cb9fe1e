"""Models of a few steps in a project, and files of every kind to predict with the app and with their export."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from learners.final.opened import opened
from learners.prediction.predict import probabilities
from learners.progress import classes_file
from learners.rounds import run_round
from learners.spec import Example, Lasting, RoundSpec
from learners.training.checkpoint import FinalFacts, load_network, read_card, weight_files, write_card
from learners.training.data import ImageReader
from learners.training.plan import plan_to_predict
from learners.training.targets import Classes
from storage.arrays import open_npy, write_npy
from storage.rounds import Finished
from storage.rows import ImageRow
from storage.store import Store
from tests.storage.test_formats_dicom import save_series

FINAL = FinalFacts(1, (2,))  # of a final model


def save_images(folder: Path) -> None:
    """Other spacing, other orientation, other size, colour and grey, one slice and many, bytes and floats."""
    rng = np.random.default_rng(5)

    def smooth(*shape: int) -> NDArray[np.float64]:
        """Blobs: noise alone would look the same at any spacing."""
        coarse = rng.normal(size=[-(-n // 5) + 1 for n in shape])
        for axis, n in enumerate(shape):
            places = np.linspace(0, coarse.shape[axis] - 1.001, n)
            low = places.astype(int)
            share = (places - low).reshape([-1 if a == axis else 1 for a in range(len(shape))])
            coarse = coarse.take(low, axis) * (1 - share) + coarse.take(low + 1, axis) * share
        return coarse

    def volume(name: str, values: NDArray, affine: NDArray) -> None:
        nibabel.save(nibabel.Nifti1Image(values, affine), folder / name)

    (folder / "deep" / "er").mkdir(parents=True)
    turned = np.array([[0, 0, 2.0, -5], [-1.0, 0, 0, 9], [0, 1.0, 0, 3], [0, 0, 0, 1]])
    volume("same.nii.gz", (smooth(28, 24, 12) * 200).astype(np.int16), np.diag([-1.0, -1, 1, 1]))
    volume("turned.nii.gz", (smooth(21, 26, 11) * 90).astype(np.float32), turned)
    volume("finer.nii", (smooth(45, 37, 9) * 100).astype(np.int16), np.diag([0.5, 0.5, 1.0, 1]))
    volume("deep/coarser.nii.gz", (smooth(14, 17, 13) * 50).astype(np.int16), np.diag([2.1, -1.9, 1.0, 1]))
    grey = (smooth(33, 50) * 40 + 120).clip(0, 255).astype(np.uint8)
    colour = (smooth(41, 35, 3) * 40 + 120).clip(0, 255).astype(np.uint8)
    Image.fromarray(grey).save(folder / "deep" / "er" / "grey.png")
    Image.fromarray(colour).save(folder / "colour.png")
    tifffile.imwrite(folder / "stack.tif", (smooth(9, 20, 31) * 900 + 3000).clip(0).astype(np.uint16))
    save_series(folder / "series")


def colour_examples(folder: Path) -> tuple[Example, ...]:
    """Two pictures in colour with half of each labelled as an object."""
    folder.mkdir()
    half = (np.arange(40) < 20).astype(np.uint8)[None, None].repeat(36, 1)
    write_npy(folder / "known.npy", half)
    for number in (1, 2):
        noise = np.random.default_rng(number).normal(0, 20, (*half.shape, 3))
        pixels = (np.array([90, 120, 60]) + half[..., None] * [80, -50, 20] + noise).clip(0, 255)
        write_npy(folder / f"{number}.npy", pixels.astype(np.uint8))
    return tuple(
        Example(n, folder / f"{n}.npy", (1, 36, 40), 3, None, folder / "known.npy", slices=((0, 0),))
        for n in (1, 2)
    )


def train_briefly(store: Store, learner: str, examples: tuple[Example, ...], network: str = "auto") -> Path:
    """A finished round of two steps, whose proposals are half of one class and half of the other; its folder."""
    row = store.rounds.start(learner, 0)
    folder = store.rounds.folder(row.id)
    spec = RoundSpec(learner, (1,), examples, folder, seconds=4, steps=2, device="cpu", network=network)
    if learner == "final":
        spec = replace(spec, network="unet-s", lasting=Lasting(folder / "work", FINAL.members))
    result = run_round(spec)
    if learner == "final":
        write_card(folder, replace(read_card(folder), final=FINAL))
    undecide(folder, examples[0])
    store.rounds.finish(row.id, Finished(row.id, result.dice, result.child_dice, None, {"seconds": 1.0}))
    return folder


def undecide(folder: Path, example: Example) -> None:
    """After two steps a network says the same everywhere. With its head's constants moved every voxel is a close
    call, so that the smallest difference between two predictions shows."""
    card = read_card(folder)
    plan = plan_to_predict(card.network, card.brought_to_mm, "cpu")
    case = ImageReader(example, Classes(card.class_ids), plan.network.channels)
    for _ in range(1 if card.final is None else 3):  # of an average it is a guess
        network = load_network(folder) if card.final is None else opened(folder, "cpu").network
        tiles = [np.log(p[1] + 1e-9) - np.log(p[0] + 1e-9) for _, p, *_ in probabilities(network, case, plan)]
        median = float(np.median(np.concatenate([tile.ravel() for tile in tiles])))
        for name in weight_files(card):
            weights = load_file(folder / name)
            weights["head.bias"] = weights["head.bias"] - torch.tensor([0.0, median])
            save_file(weights, folder / name)


def predict_in_app(store: Store, learner: str, model: Path, images: Path) -> dict[str, NDArray[np.uint8]]:
    """Imported and predicted by a round that trains nothing: source -> (Z, Y, X) classes in display order."""
    import_path(store, images, Job("import"))
    return predict_again(store, learner, model, example_of)


def example_of(row: ImageRow) -> Example:
    """Nobody said anything about it."""
    return Example(row.id, row.path, row.shape, row.channels, row.spacing_mm)


def predict_again(
    store: Store, learner: str, model: Path, example: Callable[[ImageRow], Example], adapt: str = ""
) -> dict[str, NDArray[np.uint8]]:
    """Every image of the project by the model in a folder; with `adapt`, by the adapter of this name."""
    _, rows = store.images(limit=-1)
    row = store.rounds.start(learner, 0, "predict")
    folder = store.rounds.folder(row.id)
    spec = RoundSpec(
        learner,
        (1,),
        tuple(map(example, rows)),
        folder,
        parent=model,
        seconds=0,
        predict=tuple(r.id for r in rows),
        predict_seconds=600,
        device="cpu",
        adapt=adapt,
    )
    result = run_round(spec)
    assert result.remaining == 0 and result.model == model
    store.rounds.finish(
        row.id, Finished(int(model.name), result.dice, None, None, {"notes": list(result.notes)})
    )
    return {r.source: np.array(open_npy(classes_file(folder, r.id))) for r in rows}
