"""Learning with four channels against each of them alone, on real nuclei of which each channel shows a part.

    python -m benchmarks.channels [--steps 300] [--seed 0] [--json FILE]

Every nucleus of a real picture stays in two of four channels and is covered by a piece of that picture's own
background in the others, as stains that mark some cells show them. Channels differ in type and range. Truth is all
nuclei. The same pictures are labelled whole, once with all channels and once for each channel alone, and the model of
as many steps is judged on pictures that nobody labelled; once more with a channel taken from those.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter

from annotator.learning.settings import LearnSettings
from benchmarks.common import DATA, Row, finish
from benchmarks.simulated import Subject, project, test_dice

SET, DOMAIN = "dsb2018-nuclei", "fluo256_"
LABELLED, TESTED, IN_CHANNELS = 8, 12, 2
TRIES = 400  # places to take background from
MARGIN, SOLID, SOFT = 10, 5, 1.5  # pixels around a nucleus: that glow, that are covered, in which covers fade
NAMES = ("DNA", "actin", "tubulin", "Golgi")
SCALES = ((1, "uint8"), (200, "uint16"), (40, "uint16"), (1 / 255, "float32"))


def main() -> None:
    asked = _options()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = sorted((asked.data / SET / "images").glob(f"{DOMAIN}*.png"))[: LABELLED + TESTED]
        for number, path in enumerate(pictures):
            _write(folder, path, np.random.default_rng([asked.seed, number]))
        names = [path.stem for path in pictures]
        rows = list(_rows(folder, names, asked.steps, asked.seed))
    finish(rows, asked.json)


def _options() -> argparse.Namespace:
    out = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    out.add_argument("--data", type=Path, default=DATA, help="folder of data sets")
    out.add_argument("--steps", type=int, default=300, help="of training")
    out.add_argument("--seed", type=int, default=0)
    out.add_argument("--json", type=Path, help="write the rows here")
    return out.parse_args()


def _rows(folder: Path, names: list[str], steps: int, seed: int) -> Iterator[Row]:
    for view in ("all", *NAMES):
        pairs = tuple((folder / view / f"{name}.tif", folder / "labels" / f"{name}.png") for name in names)
        subject = Subject(SET, pairs[:LABELLED], ("nucleus",), objects=True)
        settings = LearnSettings(("supervised",), seconds=3600, steps=steps, settle_seconds=0, device="cpu")
        with project(folder / f"project-{view}", subject, settings, seed) as person:
            for image_id in sorted(person.masks):
                person.label_whole(image_id)
            person.scheduler.run_until_idle()
            model = person.scheduler.rounds.model("supervised")
            if model is None:
                raise SystemExit(f"no model: {person.scheduler.status()[0]['message']}")
            shown = "four channels" if view == "all" else f"{view} alone"
            value = test_dice(model, pairs[LABELLED:], subject, folder / f"tests-{view}") or 0.0
            yield Row(SET, shown, "Dice", value, len(names) - LABELLED, seed)
            if view != "all":
                continue
            lacking = tuple((folder / "lacking" / path.name, mask) for path, mask in pairs[LABELLED:])
            value = test_dice(model, lacking, subject, folder / "tests-lacking") or 0.0
            yield Row(SET, f"four learned, {NAMES[0]} missing", "Dice", value, len(lacking), seed)


def _write(folder: Path, path: Path, rng: np.random.Generator) -> None:
    """One picture in all channels, in each alone and without the first, and its truth."""
    grey = np.asarray(Image.open(path).convert("L"))
    numbers = np.asarray(Image.open(path.parent.parent / "labels" / path.name))
    channels = _channels(grey, numbers, rng)
    for view in ("all", "lacking", "labels", *NAMES):
        (folder / view).mkdir(exist_ok=True)
    for view, chosen in (("all", range(4)), ("lacking", range(1, 4))):
        metadata = {"axes": "CYX", "Channel": {"Name": [NAMES[n] for n in chosen]}}
        stack = np.stack([channels[n].astype(np.float32) for n in chosen])
        tifffile.imwrite(
            folder / view / f"{path.stem}.tif", stack, ome=True, photometric="minisblack", metadata=metadata
        )
    for name, values in zip(NAMES, channels, strict=True):
        tifffile.imwrite(folder / name / f"{path.stem}.tif", values, photometric="minisblack")
    Image.fromarray(numbers).save(folder / "labels" / f"{path.stem}.png")


def _channels(
    grey: NDArray[np.uint8], numbers: NDArray[np.uint16], rng: np.random.Generator
) -> list[NDArray[np.generic]]:
    """(Y, X) each, without the nuclei that are not in a channel."""
    out: list[NDArray[np.generic]] = []
    channels = [grey.astype(np.float64) for _ in SCALES]
    glow = binary_dilation(numbers > 0, iterations=MARGIN)
    for number, box in enumerate(find_objects(numbers), start=1):
        if box is None:
            continue
        rows, columns = (slice(max(0, s.start - MARGIN), s.stop + MARGIN) for s in box)
        there = numbers[rows, columns]
        share = gaussian_filter(binary_dilation(there == number, iterations=SOLID).astype(float), SOFT)
        share[(there != number) & (there > 0)] = 0  # neighbours stay
        piece = _background(grey, glow, (there.shape[0], there.shape[1]), rng)
        for channel in rng.permutation(len(channels))[IN_CHANNELS:]:
            part = channels[channel][rows, columns]
            part += share * (piece - part)
    for values, (scale, kind) in zip(channels, SCALES, strict=True):
        out.append((np.rint(values) * scale).astype(kind))
    return out


def _background(
    grey: NDArray[np.uint8], glow: NDArray[np.bool_], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A piece of the picture with as few pixels of nuclei as some tries find."""
    places = [
        (int(rng.integers(grey.shape[0] - shape[0] + 1)), int(rng.integers(grey.shape[1] - shape[1] + 1)))
        for _ in range(TRIES)
    ]
    parts = [np.s_[row : row + shape[0], column : column + shape[1]] for row, column in places]
    best = min(parts, key=lambda part: int(glow[part].sum()))
    return np.where(glow[best], np.median(grey[~glow]), grey[best]).astype(np.float64)


if __name__ == "__main__":
    main()
