"""The yardstick on photographs: TRACER-TE0, a trained salient-object network, prompted by crops around box or click.

It never saw prompts in training, so it is asked what stands out in a crop: of a box with a margin, or of squares of
five sizes around the first click, of which the answer is the piece that agrees with the clicks and fills its crop
least doubtfully. Scribbles count as their points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from benchmarks.tracer_network import Tracer, names
from models.prompt import Embedding, MaskPrediction, Prompts

FILE = "tracer_te0.safetensors"
SIDE = 320
MEAN, SPREAD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
SIDES = (0.15, 0.25, 0.4, 0.65, 1.0)  # of the picture's longer side
SHOWN = 3
XYBox = tuple[int, int, int, int]  # r0, c0, r1, c1, half-open


@dataclass(frozen=True)
class SuperPiece:
    """What stands out in one crop around a click."""

    mask: NDArray[np.bool_]  # (H, W)
    worth: float


class TracerYardstick:
    """A prompt model around the network. Keeps the pieces around the last first clicks, for the sake of time."""

    model_id = "tracer-te0"

    def __init__(self, folder: Path) -> None:
        state = load_file(folder / FILE)
        network = Tracer()
        if set(state) != set(names(network)):
            raise ValueError(
                f"{FILE} does not hold the tensors of TRACER-TE0; take the file as it was published"
            )
        network.load_state_dict(state, strict=False)  # all but the counters of batches, checked above
        self._network = network.eval().requires_grad_(False)
        self._pieces: dict[tuple[int, int, int], list[SuperPiece]] = {}

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        self._pieces.clear()
        return Embedding(self.model_id, image.shape[:2], {"rgb": image})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        image = embedding.arrays["rgb"]
        said = [(label, point) for label, point in zip(prompts.labels, prompts.points_rc, strict=True)]
        said += [(s.label, point) for s in prompts.scribbles for point in s.points_rc]
        if prompts.box is not None:
            return MaskPrediction(self._in_box(image, prompts.box)[None], np.ones(1, np.float32))
        at = next(point for label, point in said if label == 1)
        key = id(image), round(at[0]), round(at[1])
        if key not in self._pieces:
            self._pieces[key] = self._around(image, key[1:])
        ranked = sorted(self._pieces[key], key=lambda piece: -piece.worth - 2 * agreement(piece.mask, said))
        worth = np.array([piece.worth for piece in ranked[:SHOWN]], np.float32)
        scores = np.minimum.accumulate(np.clip(worth, 0, 1))
        return MaskPrediction(np.stack([piece.mask for piece in ranked[:SHOWN]]), scores)

    def _in_box(self, image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
        """What stands out in the box and 15 % around it, cut 4 % outside the box."""
        crop, limit = grown(box, 0.15, image.shape[:2]), grown(box, 0.04, image.shape[:2])
        mask = self._stands_out(image, [crop])[0] > 0.5
        inside = np.zeros_like(mask)
        inside[limit[0] : limit[2], limit[1] : limit[3]] = True
        return mask & inside

    def _around(self, image: NDArray[np.uint8], at: tuple[int, int]) -> list[SuperPiece]:
        h, w = image.shape[:2]
        crops = []
        for side in (share * max(h, w) / 2 for share in SIDES):
            box = at[0] - side, at[1] - side, at[0] + side, at[1] + side
            crops.append(grown(box, 0.0, (h, w)))
        chances = self._stands_out(image, crops)
        return [piece_at(chance, crop, at) for chance, crop in zip(chances, crops, strict=True)]

    def _stands_out(self, image: NDArray[np.uint8], crops: Sequence[XYBox]) -> list[NDArray[np.float32]]:
        """(H, W) chance for each crop, 0 beyond it."""
        seen = [cv2.resize(image[r0:r1, c0:c1], (SIDE, SIDE)) for r0, c0, r1, c1 in crops]
        x = (np.stack(seen).astype(np.float32) / 255 - MEAN) / SPREAD
        with torch.inference_mode():
            answer = self._network(torch.from_numpy(x.transpose(0, 3, 1, 2)).contiguous())[:, 0].numpy()
        found = []
        for chance, (r0, c0, r1, c1) in zip(answer, crops, strict=True):
            whole = np.zeros(image.shape[:2], np.float32)
            whole[r0:r1, c0:c1] = cv2.resize(chance, (c1 - c0, r1 - r0))
            found.append(whole)
        return found


def grown(box: Sequence[float], margin: float, shape: tuple[int, ...]) -> XYBox:
    """The box with a margin of its sides, inside the picture and at least a pixel."""
    more_r, more_c = margin * (box[2] - box[0]), margin * (box[3] - box[1])
    r0, c0 = int(np.clip(box[0] - more_r, 0, shape[0] - 1)), int(np.clip(box[1] - more_c, 0, shape[1] - 1))
    r1, c1 = np.ceil(box[2] + more_r), np.ceil(box[3] + more_c)
    return r0, c0, int(np.clip(r1, r0 + 1, shape[0])), int(np.clip(c1, c0 + 1, shape[1]))


def piece_at(chance: NDArray[np.float32], crop: XYBox, at: tuple[int, int]) -> SuperPiece:
    """The connected piece under the click: stable under the threshold, and not cut off by its crop."""
    _, pieces = cv2.connectedComponents((chance > 0.5).astype(np.uint8))
    number = pieces[at]
    mask = (pieces == number) if number else np.zeros(chance.shape, bool)
    if not number:
        return SuperPiece(mask, 0.0)
    firm, loose = int(np.count_nonzero(mask & (chance > 0.7))), int(np.count_nonzero(chance > 0.3))
    part = mask[crop[0] : crop[2], crop[1] : crop[3]]
    rim = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
    return SuperPiece(mask, firm / max(loose, 1) * (1 - min(1.0, 3 * float(rim.mean()))))


def agreement(mask: NDArray[np.bool_], said: Sequence[tuple[int, tuple[float, float]]]) -> float:
    """The share of what was said that the mask follows."""
    h, w = mask.shape
    kept = [mask[min(round(r), h - 1), min(round(c), w - 1)] == bool(label) for label, (r, c) in said]
    return float(np.mean(kept))
