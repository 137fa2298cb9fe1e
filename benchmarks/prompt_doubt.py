"""Who goes first after one or two clicks, the built-in network or the graph cut: the numbers in `models/builtin.py`.

    python -m benchmarks.prompt_doubt [--data FOLDER] [--cases N] [--split val] [--look NAME] [--weights FILE]
        [--json FILE]

Both are asked about objects of the training splits. Printed is the mean IoU of each choice over the sets, and how far
the worst set falls behind the network alone. To be run again when the weights change. `--look` changes the pictures
into what no training showed: stands for kinds of images that the data do not have.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clicks import iou, next_click
from benchmarks.common import choosing
from benchmarks.prompt_cases import SETS, Draw, PromptCase, windowed
from models.builtin import DOUBT, LEAD, OPEN_CLICKS
from models.clicknet.model import ClickNet
from models.graphcut.model import GraphCut
from models.prompt import PromptModel, Prompts

DOUBTS = (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 1.0)
LEADS = (-0.1, 0.0, 0.05, 0.1, 0.2)
ALWAYS = 2.0  # above every estimate
SEED = 100  # of cases that no other benchmark draws


def speckled(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fully developed speckle of a few pixels, log-compressed as ultrasound shows it."""
    rng = np.random.default_rng(SEED)
    real, imaginary = (cv2.GaussianBlur(rng.normal(size=grey.shape), (0, 0), 1.2) for _ in range(2))
    power = real * real + imaginary * imaginary
    return np.asarray(np.log1p((grey + 10) * power / power.mean()), np.float32)


def outlined(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Steepness alone: insides and outsides are dark."""
    return np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))


def textured(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much a neighbourhood of 7 x 7 pixels varies."""
    mean = cv2.blur(grey, (7, 7))
    return np.sqrt(np.maximum(cv2.blur(grey * grey, (7, 7)) - mean * mean, 0))


def halftoned(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Printed in black dots (Bayer's ordered dither)."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) * 16
    across = [-(-n // 4) for n in grey.shape]
    return (grey > np.tile(bayer, across)[: grey.shape[0], : grey.shape[1]]).astype(np.float32)


LOOKS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "speckle": speckled,
    "outlines": outlined,
    "texture": textured,
    "halftone": halftoned,
}


@dataclass(frozen=True)
class Both:
    """What the two said to the same clicks, and how good it was."""

    set: str
    clicks: int
    network_score: float
    network_iou: float
    other_score: float
    other_iou: float


def main() -> None:
    parser = choosing((__doc__ or "").splitlines()[0], cases=60)
    parser.add_argument("--look", choices=LOOKS, help="change the pictures into what no training showed")
    parser.add_argument("--json", type=Path, help="write every answer to this file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = list(asked(options))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in found], indent=1), encoding="utf-8")
    print(table(found))


def asked(options: argparse.Namespace) -> Iterator[Both]:
    """Every second object is clicked on as the network leaves it, the others as the graph cut does."""
    models: tuple[PromptModel, PromptModel] = ClickNet(options.weights), GraphCut()
    for name, draw in SETS.items():
        for n, case in enumerate(draw(Draw(options.data, options.split, options.cases, SEED))):
            case = seen_as(case, options.look) if options.look else case
            embeddings = [model.encode(case.image) for model in models]
            prompts, mask = Prompts(), np.zeros_like(case.truth)
            for count in range(1, OPEN_CLICKS + 1):
                prompts = next_click(prompts, mask, case) or prompts
                network, other = (
                    model.predict(embedding, prompts)
                    for model, embedding in zip(models, embeddings, strict=True)
                )
                mask = (network, other)[n % 2].mask
                values = [v for a in (network, other) for v in (float(a.scores[0]), iou(a.mask, case))]
                yield Both(name, count, *values)


def seen_as(case: PromptCase, look: str) -> PromptCase:
    """The same object in a picture that was changed into `look`, from its 0.5 to its 99.5 per cent."""
    values = LOOKS[look](cv2.cvtColor(case.image, cv2.COLOR_RGB2GRAY).astype(np.float32))
    return replace(case, image=windowed(values, *np.percentile(values, (0.5, 99.5))))


def table(found: list[Both]) -> str:
    """A line for each threshold, a column for each lead: mean over sets and clicks, and the worst set's loss."""
    alone = by_set(found, 0.0, 0.0)
    cut = by_set(found, ALWAYS, ALWAYS)
    ahead = [name for name in cut if cut[name] > alone[name]]
    lines = [
        f"network alone {np.mean(list(alone.values())):.3f}, graph cut alone {np.mean(list(cut.values())):.3f}, "
        f"ahead on {', '.join(ahead) or 'no set'}; chosen: DOUBT {DOUBT}, LEAD {LEAD}"
    ]
    lines.append(f"{'DOUBT':>6} {'asked':>6}" + "".join(f"{f'LEAD {lead:+.2f}':>18}" for lead in LEADS))
    for doubt in DOUBTS:
        cells = []
        for lead in LEADS:
            means = by_set(found, doubt, lead)
            worst = min(means[name] - alone[name] for name in means)
            cells.append(f"{np.mean(list(means.values())):.3f} ({worst:+.3f})")
        share = np.mean([each.network_score < doubt for each in found])
        lines.append(f"{doubt:6.2f} {share:6.2f}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def by_set(found: list[Both], doubt: float, lead: float) -> dict[str, float]:
    """Mean IoU of what would be shown first."""
    values: dict[str, list[float]] = {}
    for each in found:
        other = each.network_score < doubt and each.other_score + lead > each.network_score
        values.setdefault(each.set, []).append(each.other_iou if other else each.network_iou)
    return {name: float(np.mean(scores)) for name, scores in values.items()}


if __name__ == "__main__":
    main()
