"""The built-in prompt model on a slice: find the object's extent, then look closer in a crop around it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.batching import Crops, Looking, SeenCrops, alone
from models.clicknet.adapter import WEIGHTS, digest, read_adapter
from models.clicknet.frames import CropFrame, cut, paste, place, upright
from models.clicknet.inputs import draw_box, draw_clicks, draw_stroke, standardise
from models.clicknet.network import Network
from models.prompt import Embedding, FloatBox, MaskPrediction, Prompts

CROP = 128  # pixels, as in training
MAX_PIXELS = 32_000_000  # a larger slice is kept smaller; masks still come back at its own size
MARGIN = 1.7  # side of the close crop, in extents of the object
LADDER = 2.8  # between the sides of the crops that look for the extent
SMALLEST_SIDE = 16.0
POSITIVE, NEGATIVE, BOX, LAST = range(4)


@dataclass(frozen=True)
class PixelPrompts:
    """The prompts in the coordinates of the kept pixels, inside them."""

    positive: NDArray[np.float64]  # (P, 2) clicks
    negative: NDArray[np.float64]  # (N, 2)
    strokes: tuple[tuple[int, NDArray[np.float64]], ...]  # label and (M, 2) path
    box: NDArray[np.float64] | None  # row0, column0, row1, column1
    mask: NDArray[np.uint8] | None  # (h, w), 255 inside
    view: float | None  # side of the part on screen


@dataclass(frozen=True)
class CropAnswer:
    """What the network says in one frame."""

    frame: CropFrame
    logits: NDArray[np.float32]  # (CANDIDATES, size, size)
    scores: NDArray[np.float32]  # (CANDIDATES,) expected IoU


@dataclass(frozen=True)
class CropRequest:
    """A frame to look at and, on the second look, what was seen before."""

    frame: CropFrame
    last: CropAnswer | None = None


class ClickNet:
    """A prompt model without state; loading takes a fraction of a second, a prediction tens of milliseconds."""

    def __init__(
        self, weights: Path | None = None, device: str | None = None, adapter: Path | None = None
    ) -> None:
        """`adapter`: late layers that were tuned from these weights. Raises ValueError where they were not."""
        data = (weights or WEIGHTS).read_bytes()
        base = digest(data)
        self.model_id = f"clicknet-{base}"
        state = load(data)
        if adapter is not None:
            state |= read_adapter(adapter, base)
            self.model_id += f"-tuned-{digest(adapter.read_bytes())}"
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._half = self._device != "cpu" or has_bf16()
        network = _folded(state).to(self._device)
        if self._half:
            _halve(network)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """The pixels themselves, one channel if the picture is grey: the network runs on crops of them."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(f"a slice is given as uint8 (H, W, 3), got {image.dtype} {image.shape}")
        h, w = image.shape[:2]
        grey = bool((image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all())
        kept = np.ascontiguousarray(image[..., :1] if grey else image)
        shrink = np.sqrt(MAX_PIXELS / (h * w))
        if shrink < 1:
            smaller = (max(1, int(w * shrink)), max(1, int(h * shrink)))
            small = cv2.resize(kept, smaller, interpolation=cv2.INTER_AREA)
            kept = np.asarray(small, np.uint8).reshape(*smaller[::-1], -1)
        return Embedding(self.model_id, (h, w), {"pixels": kept})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Candidates, best first. Without anything that says where the object is, an empty mask of score 0."""
        return alone(self.looking(embedding, prompts), self.see)

    def looking(self, embedding: Embedding, prompts: Prompts) -> Looking[MaskPrediction]:
        """`predict`, as work that can be done together with others'."""
        if embedding.model_id != self.model_id:
            raise ValueError("this embedding was made by another model; encode the slice again")
        if prompts.mask is not None and prompts.mask.shape != embedding.shape:
            raise ValueError(
                f"a mask to refine has the slice's size {embedding.shape}, got {prompts.mask.shape}"
            )
        pixels = embedding.arrays["pixels"]
        said = _to_pixels(prompts, embedding.shape, pixels.shape[:2])
        if not _points_somewhere(said):
            return MaskPrediction(np.zeros((1, *embedding.shape), bool), np.zeros(1, np.float32))
        answers = yield from _look(pixels, said)
        return _candidates(answers, pixels.shape[:2], embedding.shape)

    def see(self, crops: Crops) -> SeenCrops:
        """One batch through the network: (N, INPUTS, size, size)."""
        batch = torch.from_numpy(crops).to(self._device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            output = self._network(batch)
        return SeenCrops(output.logits.cpu().numpy(), output.scores.float().sigmoid().cpu().numpy())


def _look(pixels: NDArray[np.uint8], said: PixelPrompts) -> Looking[list[CropAnswer]]:
    """A wide look where only clicks were given, then a close one at what it found; best first."""
    shape = pixels.shape[:2]
    wide = yield from _seen(pixels, said, [CropRequest(frame) for frame in _wide_frames(said, shape)])
    finalists = _finalists(wide)
    if not finalists:
        return wide[:1]
    closer = [CropRequest(_around(_extent(answer, said), shape), answer) for answer in finalists]
    worth = [_prior_score(answer) for answer in finalists]
    close = yield from _seen(pixels, said, closer)
    ranked = zip(close, worth, strict=True)
    return [answer for answer, _ in sorted(ranked, key=lambda pair: -pair[0].scores[0] - pair[1])]


def _seen(
    pixels: NDArray[np.uint8], said: PixelPrompts, looks: list[CropRequest]
) -> Looking[list[CropAnswer]]:
    """What the network says in these frames, which are of one size."""
    seen = yield np.stack([_input(pixels, said, look) for look in looks])
    return [CropAnswer(look.frame, *row) for look, *row in zip(looks, seen.logits, seen.scores, strict=True)]


def _halve(network: Network) -> None:
    """Weights in the precision in which they multiply. Autocast would halve them anew at each answer, which took half
    of a small one's time; the answers are the same to the bit."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.to(torch.bfloat16)


def _folded(state: dict[str, torch.Tensor]) -> Network:
    """The network with every batch norm folded into its convolution."""
    network = Network().eval()
    network.load_state_dict(state)
    pairs = [m for m in network.modules() if isinstance(m, torch.nn.Sequential) and len(m) >= 2]
    for pair in pairs:
        if isinstance(pair[0], torch.nn.Conv2d) and isinstance(pair[1], torch.nn.BatchNorm2d):
            pair[0] = fuse_conv_bn_eval(pair[0], pair[1])
            pair[1] = torch.nn.Identity()
    return network.requires_grad_(False)


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 itself; emulation is slower than fp32."""
    flags = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else ""
    return "AVX512" in flags and bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def _to_pixels(prompts: Prompts, shape: tuple[int, int], kept: tuple[int, int]) -> PixelPrompts:
    scale = np.array(kept) / np.array(shape)
    last = np.array(kept) - 1

    def inside(points: object) -> NDArray[np.float64]:
        moved = (np.array(points, np.float64).reshape(-1, 2) + 0.5) * scale - 0.5
        return np.asarray(np.clip(moved, 0, last), np.float64)

    points, labels = inside(prompts.points_rc), np.array(prompts.labels, int)
    box = None if prompts.box is None else inside(_sorted_box(prompts.box)).reshape(-1)
    mask = None
    if prompts.mask is not None and prompts.mask.any():
        mask = prompts.mask.astype(np.uint8) * np.uint8(255)
        if mask.shape != kept:
            mask = np.asarray(cv2.resize(mask, kept[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    strokes = tuple((s.label, inside(s.points_rc)) for s in prompts.scribbles if len(s.points_rc))
    view = None
    if prompts.view is not None:
        r0, c0, r1, c1 = inside(_sorted_box(prompts.view)).reshape(-1)
        view = float(max(r1 - r0, c1 - c0) + 1)
    return PixelPrompts(points[labels == 1], points[labels == 0], strokes, box, mask, view)


def _sorted_box(box: FloatBox) -> tuple[float, ...]:
    r0, c0, r1, c1 = box
    return min(r0, r1), min(c0, c1), max(r0, r1), max(c0, c1)


def _points_somewhere(said: PixelPrompts) -> bool:
    strokes = any(label == 1 for label, _ in said.strokes)
    return bool(len(said.positive) or strokes or said.box is not None or said.mask is not None)


def _marked(said: PixelPrompts) -> NDArray[np.float64]:
    """(M, 2) every positive click and point of a positive stroke."""
    return np.concatenate([said.positive, *(path for label, path in said.strokes if label == 1)])


def _wide_frames(said: PixelPrompts, shape: tuple[int, int]) -> list[CropFrame]:
    """Where to look first. A box tells the extent, a mask nearly; clicks and strokes may be a small part."""
    parts = [_marked(said)]
    if said.box is not None:
        parts.append(said.box.reshape(2, 2))
    if said.mask is not None:
        parts.append(_mask_box(said.mask > 127))
    if len(parts) == 1:
        return _ladder(said, shape)
    corners = np.concatenate(parts)
    extent = np.concatenate([corners.min(0), corners.max(0)])
    margins = (MARGIN,) if said.box is not None else (MARGIN, 2 * MARGIN)
    return [_around(extent, shape, margin) for margin in margins]


def _mask_box(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, 2) lowest and highest (row, column) of a mask, (0, 2) if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros((0, 2))
    return np.array([[rows[0], columns[0]], [rows[-1], columns[-1]]], np.float64)


def _around(extent: NDArray[np.float64], shape: tuple[int, int], margin: float = MARGIN) -> CropFrame:
    """The close crop around a (row0, column0, row1, column1) extent."""
    side = max(margin * float(max(extent[2:] - extent[:2]) + 1), SMALLEST_SIDE)
    return _over((extent[:2] + extent[2:]) / 2, side, shape)


def _over(centre: NDArray[np.float64], side: float, shape: tuple[int, int]) -> CropFrame:
    """The square around a (row, column), moved over the picture where it would look beyond."""
    low = np.minimum(side, np.array(shape)) / 2 - 0.5
    r, c = np.clip(centre, low, np.array(shape) - 1 - low)
    return upright((float(r), float(c)), side, CROP)


def _ladder(said: PixelPrompts, shape: tuple[int, int]) -> list[CropFrame]:
    """Crops around the clicks, from what is on screen down to where an object would be a few dozen pixels."""
    marked = _marked(said)
    spread = marked.max(0) - marked.min(0)
    least = max(1.3 * float(spread.max()), 40.0)
    side = max(min(said.view or np.inf, float(max(shape))), least, SMALLEST_SIDE)
    sides = [side]
    while sides[-1] / LADDER >= least and len(sides) < 6:
        sides.append(sides[-1] / LADDER)
    return [_over((marked.max(0) + marked.min(0)) / 2, s, shape) for s in sides]


def _prior_score(answer: CropAnswer) -> float:
    """How much a wide look is worth: its score, less if the object is cut off or only a few pixels large."""
    mask = answer.logits[0] > 0
    extent = _mask_box(mask)
    if not len(extent):
        return -1.0
    size = answer.frame.size
    span = float((extent[1] - extent[0]).max() + 1) / size
    return float(answer.scores[0]) - 0.5 * max(0.0, 0.12 - span) / 0.12 - 0.5 * max(0.0, span - 0.8)


def _finalists(wide: list[CropAnswer]) -> list[CropAnswer]:
    """The most promising answer that is not empty, and the next that means something else."""
    found = sorted((a for a in wide if (a.logits[0] > 0).any()), key=_prior_score, reverse=True)
    other = [a for a in found[1:] if _areas_differ(a, found[0])]
    return found[:1] + other[:1]


def _areas_differ(one: CropAnswer, other: CropAnswer) -> bool:
    """Whether two masks around the same click are of clearly different sizes."""
    areas = [float((a.logits[0] > 0).sum() * abs(np.linalg.det(a.frame.turn))) for a in (one, other)]
    return max(areas) > 1.6 * min(areas)


def _extent(answer: CropAnswer, said: PixelPrompts) -> NDArray[np.float64]:
    """Source box (row0, column0, row1, column1) of an answer that is not empty and of what was marked."""
    box = _mask_box(answer.logits[0] > 0)
    middle = (answer.frame.size - 1) / 2
    corners = [((box[:, ::-1] - middle) @ answer.frame.turn.T + answer.frame.centre)[:, ::-1], _marked(said)]
    if said.box is not None:
        corners.append(said.box.reshape(2, 2))
    together = np.concatenate(corners)
    return np.concatenate([together.min(0), together.max(0)])


def _input(pixels: NDArray[np.uint8], said: PixelPrompts, look: CropRequest) -> NDArray[np.float32]:
    """(INPUTS, size, size) of one frame."""
    frame, size = look.frame, look.frame.size
    crop = cut(pixels, frame)
    crop = crop if crop.ndim == 3 else np.repeat(crop[..., None], 3, 2)
    maps = np.zeros((3, size, size), np.uint8)
    for layer, points in ((POSITIVE, said.positive), (NEGATIVE, said.negative)):
        draw_clicks(maps[layer], [(r, c) for r, c in _near(place(points, frame), size)])
    for label, path in said.strokes:
        draw_stroke(
            maps[POSITIVE if label else NEGATIVE], np.clip(place(path, frame), -size, 2 * size).tolist()
        )
    if said.box is not None:
        corners = np.clip(place(said.box.reshape(2, 2), frame), -size, 2 * size)
        draw_box(maps[BOX], corners.reshape(-1))
    mask = _last_mask(said, look)
    return np.concatenate([standardise(crop).transpose(2, 0, 1), maps.astype(np.float32), mask[None]])


def _near(points: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return points[((points > -4) & (points < size + 4)).all(1)]


def _last_mask(said: PixelPrompts, look: CropRequest) -> NDArray[np.float32]:
    """(size, size) what the earlier look said here, else the mask that was given, else nothing."""
    frame, last = look.frame, look.last
    if last is not None:
        inverse = np.linalg.inv(np.vstack([last.frame.matrix(), [0, 0, 1]])) @ np.vstack(
            [frame.matrix(), [0, 0, 1]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        chance = 1 / (1 + np.exp(-last.logits[0]))
        seen = cv2.warpAffine(chance, inverse[:2], (frame.size, frame.size), flags=flags)
        return np.asarray(seen, np.float32)
    if said.mask is not None:
        return cut(said.mask, frame, 0).astype(np.float32) / np.float32(255)
    return np.zeros((frame.size, frame.size), np.float32)


def _candidates(answers: list[CropAnswer], kept: tuple[int, int], shape: tuple[int, int]) -> MaskPrediction:
    """Masks at the slice's own size, best first, no two nearly alike: every look's answer, then its others."""
    best = answers[0]
    others = sorted(range(1, len(best.scores)), key=lambda k: -best.scores[k])
    ranked = [(answer, 0) for answer in answers] + [(best, k) for k in others]
    masks: list[NDArray[np.bool_]] = []
    scores: list[float] = []
    for answer, k in ranked:
        mask = paste(answer.logits[k], _scaled(answer.frame, kept, shape), shape)
        if not masks or (mask.any() and max(_overlap(mask, other) for other in masks) < 0.85):
            masks.append(mask)
            scores.append(min(float(answer.scores[k]), scores[-1] if scores else 1.0))
        if shape[0] * shape[1] > MAX_PIXELS:
            break  # a mask alone is hundreds of megabytes
    return MaskPrediction(np.stack(masks), np.array(scores, np.float32))


def _scaled(frame: CropFrame, kept: tuple[int, int], shape: tuple[int, int]) -> CropFrame:
    """The frame in pixels of the slice instead of the kept ones."""
    if kept == shape:
        return frame
    scale = (np.array(shape) / np.array(kept))[::-1]
    return CropFrame((frame.centre + 0.5) * scale - 0.5, np.diag(scale) @ frame.turn, frame.size)


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0
