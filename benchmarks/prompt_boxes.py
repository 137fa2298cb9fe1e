"""Boxes that were drawn too large or too small: the network alone, and the built-in model, which tries tighter ones.

    python -m benchmarks.prompt_boxes [--data FOLDER] [--cases N] [--split val] [--weights FILE]

Mean IoU over the sets by how far each side lies outside the object, as a share of its height or width. The numbers in
`models/builtin.py` were chosen on the training splits; to be run again when the weights change.
"""

import cv2
import numpy as np

from benchmarks.clicks import box_of, iou
from benchmarks.common import choosing
from benchmarks.prompt_cases import SETS, Draw
from models.builtin import BuiltIn
from models.clicknet.model import ClickNet
from models.prompt import PromptModel, Prompts, tighter

OUTSIDE = (-0.05, 0.0, 0.05, 0.1, 0.2, 0.3)
SEED = 377  # of cases that no other benchmark draws


def main() -> None:
    options = choosing((__doc__ or "").splitlines()[0], cases=16).parse_args()
    cv2.setNumThreads(1)
    models: dict[str, PromptModel] = {
        "network alone": ClickNet(options.weights),
        "built-in": BuiltIn(options.weights),
    }
    found: dict[tuple[str, float], list[float]] = {}
    for name in SETS:
        seen: dict[tuple[str, float], list[float]] = {}
        for case in SETS[name](Draw(options.data, options.split, options.cases, SEED)):
            box = box_of(case.truth).box
            assert box is not None
            for label, model in models.items():
                embedding = model.encode(case.image)
                for share in OUTSIDE:
                    answer = model.predict(embedding, Prompts(box=tighter(box, -share)))
                    seen.setdefault((label, share), []).append(iou(answer.masks[0], case))
        for key, values in seen.items():
            found.setdefault(key, []).append(float(np.mean(values)))
    print(f"{'sides outside':16}" + "".join(f"{share:>8.0%}" for share in OUTSIDE))
    for label in models:
        print(f"{label:16}" + "".join(f"{np.mean(found[label, share]):>8.3f}" for share in OUTSIDE))


if __name__ == "__main__":
    main()
