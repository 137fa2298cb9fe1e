"""Small and rare objects: pits on metal, a quarter of a per cent of a picture, from a few labelled pictures.

`as ordinary objects` is what the app did before it fitted training to the size of such objects; `supervised` is what it
does now. `boxes` lays the prompt model's masks over the places that the same model thinks likeliest, as many as it
would propose. Places are counted as found where a pit's pixels lie in their box. Every model trains the same number
of steps on as many pixels; pictures that are judged show other places of other machines.
"""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.common import Row
from learners.prediction.places import LikelyPlace, places
from learners.prediction.predict import Files, predict
from learners.rounds import run_round
from learners.spec import Example, RoundSpec
from learners.training import rare_objects
from learners.training.checkpoint import load_network, read_card
from learners.training.data import ImageReader
from learners.training.plan import plan_to_predict
from learners.training.rare_objects import RareObjects
from learners.training.targets import Classes
from models.builtin import BuiltIn
from models.prompt import Prompts
from storage.arrays import open_npy, write_npy

SET = "bsdata-pitting"
COUNTS = (10, 20, 40)
STEPS, QUICK_STEPS = 600, 60  # of four patches of 96 x 96 pixels: a minute of one fast core
SHOWN = 12  # places that a person is led to
ORDINARY, NOW, BOXES = "as ordinary objects", "supervised", "boxes at its maxima"


@dataclass(frozen=True)
class SmallCase:
    """What a model says of a picture, and the truth."""

    pixels: NDArray[np.uint8]  # (H, W, 3)
    proposed: NDArray[np.bool_]  # (H, W)
    likely: NDArray[np.float32]  # (H, W) 0..1
    truth: NDArray[np.bool_]


def small(data: Path, seeds: int, *, quick: bool, counts: Sequence[int] = COUNTS) -> Iterator[Row]:
    """Dice on pictures of other places, false objects a picture, and how many pits the likeliest places show."""
    if not (data / SET / "split.csv").is_file():
        print(f"{SET} is not in {data}, so nothing was measured")
        return
    with tempfile.TemporaryDirectory() as folder:
        train, test = (examples(data, Path(folder), split) for split in ("train", "val"))
        for count in counts[:1] if quick else counts:
            for seed in range(seeds):
                chosen = np.random.default_rng(seed).permutation(len(train))[:count]
                labelled = tuple(train[n] for n in chosen)
                name = f"pitting, {count} pictures"
                steps = QUICK_STEPS if quick else STEPS
                for method in (NOW, ORDINARY):
                    place = Path(folder) / f"{count}-{seed}-{method.split()[0]}"
                    place.mkdir()
                    spec = RoundSpec(
                        "supervised", (1,), labelled, place, seconds=9999.0, steps=steps, seed=seed
                    )
                    found, rare = _found(spec, test[:4] if quick else test, ordinary=method == ORDINARY)
                    for row in _rows(name, method, seed, found, rare):
                        print(
                            f"{row.set}, seed {seed}: {row.method}, {row.metric} {row.value:.3f}", flush=True
                        )
                        yield row


def examples(data: Path, folder: Path, split: str) -> tuple[Example, ...]:
    """The pictures of a side of the split, their pits as class 1."""
    with open(data / SET / "split.csv", newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["split"] == split]
    found = []
    for number, name in enumerate(names, start=1):
        pixels = np.asarray(Image.open(data / SET / "images" / name).convert("RGB"))
        label = np.asarray(Image.open(data / SET / "labels" / f"{Path(name).stem}.png")) > 0
        paths = [folder / f"{split}-{number}-{kind}.npy" for kind in ("pixels", "known")]
        write_npy(paths[0], pixels[None])
        write_npy(paths[1], label[None].astype(np.uint8))
        shape = (1, *label.shape)
        found.append(Example(number, paths[0], shape, 3, None, known=paths[1], slices=((0, 0),)))
    return tuple(found)


def _found(
    spec: RoundSpec, test: Sequence[Example], *, ordinary: bool
) -> tuple[list[SmallCase], RareObjects | None]:
    """Train, and predict pictures without their labels."""
    below = rare_objects.RARE
    rare_objects.RARE = 0.0 if ordinary else below
    try:
        model = run_round(spec).model
    finally:
        rare_objects.RARE = below
    card, network = read_card(model), load_network(model)
    predicts = plan_to_predict(card.network, card.brought_to_mm, "cpu", card.rare)
    judged, classes = [], Classes((1,))
    files = Files(spec.directory / "classes.npy", spec.directory / "confidence.npy")
    for example in test:
        case = ImageReader(replace(example, known=None), classes, 3)
        predict(network, case, predicts, classes, files)
        proposed, sure = open_npy(files.classes)[0] > 0, open_npy(files.confidence)[0] / np.float32(255)
        assert example.known is not None
        judged.append(
            SmallCase(
                np.asarray(open_npy(example.pixels)[0]),
                np.asarray(proposed),
                np.where(proposed, sure, 1 - sure),
                np.asarray(open_npy(example.known)[0] > 0),
            )
        )
    return judged, card.rare


def _rows(
    name: str, method: str, seed: int, found: Sequence[SmallCase], rare: RareObjects | None
) -> Iterator[Row]:
    def row(method: str, metric: str, value: float) -> Row:
        return Row(name, method, metric, value, len(found), seed)

    yield row(method, "Dice", float(np.mean([dice(one.proposed, one.truth) for one in found])))
    yield row(method, "false objects a picture", float(np.mean([false_objects(one) for one in found])))
    if rare is None:
        return
    shown = [places(one.likely, rare.side, SHOWN) for one in found]
    masks = [_boxed(one, at[: rare.most]) for one, at in zip(found, shown)]
    yield row(BOXES, "Dice", float(np.mean([dice(mask, one.truth) for mask, one in zip(masks, found)])))
    for most in (1, 3, SHOWN):
        share = sum(_hit(one, at[:most]) for one, at in zip(found, shown)) / sum(map(_pits, found))
        yield row(method, f"pits in the first {most}", share)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def false_objects(one: SmallCase) -> int:
    """Proposed pieces without a pixel of a pit."""
    pieces, count = ndimage.label(one.proposed)
    return count - len(np.setdiff1d(np.unique(pieces[one.truth]), [0]))


def _boxed(one: SmallCase, at: Sequence[LikelyPlace]) -> NDArray[np.bool_]:
    """The prompt model's masks of these boxes, together."""
    model, out = BuiltIn(), np.zeros(one.truth.shape, bool)
    embedding = model.encode(one.pixels)
    for place in at:
        out |= model.predict(embedding, Prompts(box=place.box)).masks[0]
    return out


def _pits(one: SmallCase) -> int:
    return int(ndimage.label(one.truth)[1])


def _hit(one: SmallCase, at: Sequence[LikelyPlace]) -> int:
    """Pits of which a pixel lies in one of the boxes."""
    pieces, _ = ndimage.label(one.truth)
    seen = [pieces[p.box[0] : p.box[2], p.box[1] : p.box[3]].ravel() for p in at]
    return len(np.setdiff1d(np.unique(np.concatenate(seen)), [0])) if seen else 0
