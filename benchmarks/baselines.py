"""The classical tools that a prompt model has to beat: GrabCut, random walker, threshold in the box."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.segmentation import random_walker

from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts

WORKING = 128  # pixels on the longer side of the crop a baseline computes on


@dataclass(frozen=True)
class Seeds:
    """A crop of the image with what the prompts say about it."""

    image: NDArray[np.uint8]  # (h, w, 3)
    known: NDArray[np.uint8]  # (h, w): 1 object, 0 background, 255 not said


def crop_of(shape: tuple[int, int], prompts: Prompts) -> tuple[int, int, int, int]:
    """The box with a margin of a quarter, else the whole picture."""
    if prompts.box is None:
        return 0, 0, *shape
    r0, c0, r1, c1 = prompts.box
    margin = max(r1 - r0, c1 - c0) / 4 + 3
    top, left = int(max(0, r0 - margin)), int(max(0, c0 - margin))
    return top, left, int(min(shape[0], r1 + margin + 1)), int(min(shape[1], c1 + margin + 1))


def seeds_of(image: NDArray[np.uint8], prompts: Prompts, crop: tuple[int, int, int, int]) -> Seeds:
    """Clicks become discs of 3 pixels, strokes lines, the outside of the box background."""
    r0, c0, r1, c1 = crop
    scale = min(1.0, WORKING / max(r1 - r0, c1 - c0))
    size = max(1, round((c1 - c0) * scale)), max(1, round((r1 - r0) * scale))
    small = np.asarray(cv2.resize(image[r0:r1, c0:c1], size, interpolation=cv2.INTER_AREA), np.uint8)
    known = np.full(small.shape[:2], 255, np.uint8)
    place = lambda p: (int((p[1] - c0 + 0.5) * scale), int((p[0] - r0 + 0.5) * scale))  # noqa: E731
    if prompts.box is not None:
        known[:] = 0
        (x0, y0), (x1, y1) = place(prompts.box[:2]), place(prompts.box[2:])
        known[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = 255
    for stroke in prompts.scribbles:
        cv2.polylines(known, [np.array([place(p) for p in stroke.points_rc])], False, stroke.label, 1)
    for point, label in zip(prompts.points_rc, prompts.labels, strict=True):
        cv2.circle(known, place(point), 1, label, -1)
    return Seeds(small, known)


def grabcut(seeds: Seeds) -> NDArray[np.bool_]:
    """OpenCV's GrabCut, five iterations; without a negative seed the picture's border is background."""
    state = np.full(seeds.known.shape, cv2.GC_PR_BGD, np.uint8)
    box = seeds.known == 255
    state[box] = cv2.GC_PR_FGD if (seeds.known == 0).mean() > 0.1 else cv2.GC_PR_BGD
    if not (seeds.known == 0).any():
        state[[0, -1]] = state[:, [0, -1]] = cv2.GC_BGD
    state[seeds.known == 1], state[seeds.known == 0] = cv2.GC_FGD, cv2.GC_BGD
    near = cv2.dilate((seeds.known == 1).astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
    state[near & (state == cv2.GC_PR_BGD)] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    no_box = (0, 0, 0, 0)  # not looked at where the mask says where to start
    try:
        cv2.grabCut(seeds.image, state, no_box, *models, 5, cv2.GC_INIT_WITH_MASK)  # in place
    except cv2.error:  # too few samples for its colour mixtures
        return seeds.known == 1
    return (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)


def walker(seeds: Seeds) -> NDArray[np.bool_]:
    """scikit-image's random walker; without a negative seed the picture's border is background."""
    markers = np.where(seeds.known == 1, 1, np.where(seeds.known == 0, 2, 0)).astype(np.int32)
    if not (markers == 2).any():
        markers[[0, -1]] = markers[:, [0, -1]] = 2
    if not (markers == 1).any():
        h, w = markers.shape
        inside = np.argwhere(markers == 0).mean(0) if (markers == 0).any() else np.array([h / 2, w / 2])
        cv2.circle(
            markers, (int(inside[1]), int(inside[0])), max(1, int(np.sqrt((markers == 0).sum()) / 5)), 1, -1
        )
    image = seeds.image.astype(np.float64) / 255
    answer = random_walker(image, markers, beta=130, mode="cg_j", tol=1e-3, channel_axis=-1, prob_tol=1)
    return answer == 1


def otsu(seeds: Seeds) -> NDArray[np.bool_]:
    """Otsu's threshold of the box (or of the neighbourhood of the clicks); the side of the clicks or the centre."""
    grey = cv2.cvtColor(seeds.image, cv2.COLOR_RGB2GRAY)
    inside = seeds.known != 0 if (seeds.known == 0).mean() > 0.1 else np.ones(grey.shape, bool)
    if not inside.any() or grey[inside].min() == grey[inside].max():
        return inside
    bright = (grey > threshold_otsu(grey[inside])) & inside
    dark = inside & ~bright
    if (seeds.known == 1).any():
        chosen = bright if bright[seeds.known == 1].mean() >= 0.5 else dark
        _, pieces = cv2.connectedComponents(chosen.astype(np.uint8))
        return np.isin(pieces, np.unique(pieces[(seeds.known == 1) & chosen])) & chosen
    rim = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    edge = inside & ~rim
    return bright if bright[edge].mean() <= dark[edge].mean() else dark


@dataclass(frozen=True)
class Baseline:
    """A classical tool behind the interface of a prompt model."""

    model_id: str
    segment: Callable[[Seeds], NDArray[np.bool_]]

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        return Embedding(self.model_id, image.shape[:2], {"rgb": image})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        crop = crop_of(embedding.shape, prompts)
        small = self.segment(seeds_of(embedding.arrays["rgb"], prompts, crop))
        r0, c0, r1, c1 = crop
        soft = cv2.resize(small.astype(np.float32), (c1 - c0, r1 - r0), interpolation=cv2.INTER_LINEAR)
        mask = np.zeros(embedding.shape, bool)
        mask[r0:r1, c0:c1] = soft > 0.5
        return MaskPrediction(mask[None], np.ones(1, np.float32))


BASELINES: dict[str, Callable[[], PromptModel]] = {
    "grabcut": lambda: Baseline("grabcut", grabcut),
    "random-walker": lambda: Baseline("random-walker", walker),
    "otsu": lambda: Baseline("otsu", otsu),
}
