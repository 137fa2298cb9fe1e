"""Training examples: any sample is made again from its seed alone, so that training resumes where it was."""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.clicknet.frames import CropFrame, cut
from models.clicknet_training import synthetic
from models.clicknet_training.augment import bend, change_look
from models.clicknet_training.cache import Cache, CacheItem
from models.clicknet_training.crops import around, inside
from models.clicknet_training.examples import PromptSample
from models.clicknet_training.simulate import BoolMask, first_prompts, new_board

MIX = {  # share of each set in training
    "dsb2018-nuclei": 0.14, "coco-cc": 0.19, "bsdata-pitting": 0.07, "superalloy": 0.05, "hippocampus": 0.14,
    "brain-aseg": 0.11, "ct": 0.14, "spinal-cord": 0.03, "synthseg-labelmaps": 0.06, "shapes": 0.07,
}  # fmt: skip
REPAINTED = 0.1  # share of real label maps that are painted over as synthetic scans
SUPERPIXELS = 0.04
PLAIN = 0.5  # share of samples whose look, and of frames whose grid, is left as it is in use


class Sampler:
    """Draws samples of the training split, sets by their share, items and objects evenly."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._by_set: dict[str, list[CacheItem]] = {}
        for entry in cache.entries:
            if entry.split == "train":
                self._by_set.setdefault(entry.set, []).append(entry)
        names = [name for name in MIX if name in self._by_set or name == "shapes"]
        shares = np.array([MIX[name] for name in names])
        self._names, self._shares = names, shares / shares.sum()

    def sample(self, seed: tuple[int, ...], size: int) -> PromptSample:
        """The sample of this seed; a frame that shows too little of its object is drawn again."""
        rng = np.random.default_rng(seed)
        while True:
            name = str(rng.choice(self._names, p=self._shares))
            crop, truth = self._shapes(rng, size) if name == "shapes" else self._cut(rng, name, size)
            telling = False
            if name not in ("shapes", "synthseg-labelmaps") and rng.random() < SUPERPIXELS:
                region = synthetic.superpixel(rng, crop)
                truth, telling = (truth, False) if region is None else (region, True)
            if name not in ("coco-cc", "bsdata-pitting") and rng.random() < 0.1:
                crop, truth = bend(rng, crop, truth)
            if truth.sum() >= 16:
                break
        if rng.random() >= PLAIN:
            crop = change_look(rng, crop, natural=name == "coco-cc")
        board = new_board(size)
        first_prompts(rng, board, truth, telling=telling)
        return PromptSample(crop, truth, board)

    def _shapes(self, rng: Generator, size: int) -> tuple[NDArray[np.uint8], BoolMask]:
        surfaces = [
            synthetic.material(rng, size) if rng.random() < 0.5 else self._cut(rng, "coco-cc", size)[0]
            for _ in range(2)
        ] if "coco-cc" in self._by_set else [synthetic.material(rng, size) for _ in range(2)]  # fmt: skip
        return synthetic.textured_shapes(rng, *surfaces)

    def _cut(self, rng: Generator, name: str, size: int) -> tuple[NDArray[np.uint8], BoolMask]:
        entries = self._by_set[name]
        entry = entries[rng.integers(len(entries))]
        value, _, r0, c0, r1, c1 = entry.objects[rng.integers(len(entry.objects))]
        labels = self._cache.labels(entry)
        box = (r0, c0, r1, c1)
        part = None
        if rng.random() < (0.15 if name == "coco-cc" else 0.7):
            box, part = _component(rng, labels[r0:r1, c0:c1] == value, (r0, c0))
        frame = around(rng, box, size, upright=name == "coco-cc", straight=rng.random() < PLAIN)
        if rng.random() < 0.8:
            frame = inside(frame, labels.shape)
        painted = entry.shape[2] == 0 or rng.random() < REPAINTED
        if painted:
            crop_labels = _warp_labels(labels, frame)
            truth = crop_labels == value
            crop = synthetic.paint_labels(rng, crop_labels)
        else:
            chosen = [value]
            if name in ("brain-aseg", "hippocampus") and rng.random() < 0.12:
                chosen += [int(o[0]) for o in entry.objects if rng.random() < 0.4]
                part = None
            truth = cut(_among(labels, chosen), frame, 0) > 127
            crop = cut(_channels(rng, self._cache.pixels(entry), name), frame)
            crop = crop if crop.ndim == 3 else np.repeat(crop[..., None], 3, 2)
        if part is not None:
            truth &= cv2.dilate(_warp_labels(part, frame), np.ones((3, 3), np.uint8)) > 0
        return crop, truth


def _component(
    rng: Generator, mask: BoolMask, at: tuple[int, int]
) -> tuple[tuple[int, int, int, int], NDArray[np.uint8] | None]:
    """One connected component, by area: its box and, where there are several, a uint8 map of it."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    chosen = 1 + int(rng.choice(count - 1, p=areas / areas.sum()))
    x, y, w, h = (int(v) for v in stats[chosen, :4])
    box = (at[0] + y, at[1] + x, at[0] + y + h, at[1] + x + w)
    if count == 2 or areas[chosen - 1] < 20:
        return box, None
    part = np.zeros((at[0] + mask.shape[0], at[1] + mask.shape[1]), np.uint8)
    part[at[0] :, at[1] :] = numbers == chosen
    return box, part


def _among(labels: NDArray[np.uint16], chosen: list[int]) -> NDArray[np.uint8]:
    """255 where the label is one of the chosen."""
    if len(chosen) == 1:
        return np.asarray((labels == chosen[0]).view(np.uint8) * np.uint8(255))
    table = np.zeros(int(labels.max()) + 1, np.uint8)
    table[chosen] = 255
    return table[labels]


def _warp_labels(labels: NDArray[Any], frame: CropFrame) -> NDArray[Any]:
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(np.ascontiguousarray(labels), frame.matrix(), (frame.size, frame.size), flags=flags)


def _channels(rng: Generator, pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A CT's window is drawn; other pictures are as they are. Grey comes back as (H, W)."""
    if name == "ct":
        return pixels[..., rng.choice(3, p=(0.6, 0.15, 0.25))]
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
