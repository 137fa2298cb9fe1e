"""Who goes first after one or two clicks, the built-in network or the graph cut: the numbers in `models/builtin.py`.

    python -m benchmarks.prompt_doubt [--data FOLDER] [--cases N] [--split val] [--weights FILE] [--json FILE]

Both are asked about objects of the training splits. Printed is the mean IoU of each choice over the sets, and how far
the worst set falls behind the network alone. To be run again when the weights change.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clicks import iou, next_click
from benchmarks.common import choosing
from benchmarks.prompt_cases import SETS, Draw
from models.builtin import DOUBT, LEAD, OPEN_CLICKS
from models.clicknet.model import ClickNet
from models.graphcut import GraphCut
from models.prompt import Prompts

DOUBTS = (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 1.0)
LEADS = (-0.1, 0.0, 0.05, 0.1, 0.2)
SEED = 100  # of cases that no other benchmark draws


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
    parser = choosing((__doc__ or "").splitlines()[0], cases=18)
    parser.add_argument("--json", type=Path, help="write every answer to this file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = list(asked(options))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in found], indent=1), encoding="utf-8")
    print(table(found))


def asked(options: argparse.Namespace) -> Iterator[Both]:
    """Every second object is clicked on as the network leaves it, the others as the graph cut does."""
    models = ClickNet(options.weights), GraphCut()
    for name, draw in SETS.items():
        for n, case in enumerate(draw(Draw(options.data, options.split, options.cases, SEED))):
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


def table(found: list[Both]) -> str:
    """A line for each threshold, a column for each lead: mean over sets and clicks, and the worst set's loss."""
    alone = by_set(found, 0.0, 0.0)
    lines = [f"network alone {np.mean(list(alone.values())):.3f}; chosen: DOUBT {DOUBT}, LEAD {LEAD}"]
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
