"""CAV-SAM on a video model: reference and target are the ends of a film, and the mask is carried from one to the other.

"Correspondence as Video" (ICCV 2025) on SAM 2.1 or EdgeTAM. Kept: the two-frame clip, the alignment of the neck on the
reference alone (`align`: its loss, steps and rates), "not here" where nothing is as like the prototype as
half of what the reference's own object is. The in-between frames of a diffusion model are left out; `frames` puts a
morph by optical flow there, with Otsu's masks on its first half as further prompts. It is off unless asked for: the
paper found that frames which are no real images do harm. Tested with small networks of random weights; not run with
trained ones.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from learners.methods.reference.align import STEPS, descend, likeness, prototype
from learners.methods.reference.augment import augmented_slice
from learners.methods.reference.head import otsu
from learners.methods.reference.model import SHARP, chances
from learners.methods.reference.reference_slices import ReferenceSlice, cells_of
from learners.prediction.predict import Tile
from learners.training.data import ImageReader
from learners.training.pictures import picture_of
from models.sam.sam2 import Propagator, normalised

AUGMENTED_PER_SLICE = 4
ACTIVE = 0.5  # of the likeness of the reference's own object, below which a class is not there
BETWEEN = (0.2, 0.8)  # where along the morph its frames lie
SMALLEST = 32  # pixels; optical flow needs a picture of this size
RGBSlice = NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    """Predicts whole images by carrying masks over from the references."""

    propagator: Propagator
    shots: tuple[ReferenceSlice, ...]
    class_ids: tuple[int, ...]
    axis: int = 0
    frames: int = 0  # of a morph between reference and target

    def tiles(self, case: ImageReader) -> Iterator[Tile]:
        """One slice at a time."""
        count = case.example.shape[self.axis]
        for i in range(count):
            picture = picture_of(case, self.axis, i)
            scores = np.stack(
                [self._score(value, picture, i / max(1, count - 1)) for value in self.class_ids]
            )
            at = [slice(0, n) for n in case.example.shape]
            at[self.axis] = slice(i, i + 1)
            seen = coarse(self.propagator, picture).mean((1, 2)).numpy()
            yield Tile(tuple(at), np.expand_dims(chances(scores), self.axis + 1), seen)  # type: ignore[arg-type]

    def _score(self, value: int, picture: RGBSlice, along: float) -> NDArray[np.float32]:
        """(H, W) above 0 where the class is."""
        shot = nearest_shot(self.shots, value, along)
        if shot is None:
            return np.full(picture.shape[:2], -1, np.float32)
        shot = stretched(shot, (picture.shape[0], picture.shape[1]))
        mask = shot.values == value
        f, g = coarse(self.propagator, shot.picture), coarse(self.propagator, picture)
        cells = cells_of(shot.values, value, False, (f.shape[1], f.shape[2])).yes
        p = prototype(f, cells)
        own = likeness(f, p)[cells] if bool(cells.any()) else likeness(f, p)
        if float(likeness(g, p).max()) < ACTIVE * float(own.median()):
            return np.full(picture.shape[:2], -1, np.float32)
        clip = [shot.picture, *morph(shot.picture, picture, self.frames), picture]
        seeds = {0: mask, **self._prompts(clip, p)}
        found = self.propagator.propagate(np.stack(clip), seeds, lambda done, total: None)[-1]
        return logit(found) / np.float32(SHARP)

    def _prompts(self, clip: Sequence[RGBSlice], p: Tensor) -> dict[int, NDArray[np.bool_]]:
        """What Otsu's threshold takes for the object on the first half of the frames in between."""
        out = {}
        for k in range(1, 1 + self.frames // 2):
            s = likeness(coarse(self.propagator, clip[k]), p)
            up = cv2.resize(s.numpy(), clip[k].shape[1::-1], interpolation=cv2.INTER_LINEAR)
            if (up > otsu(s)).any():
                out[k] = np.asarray(up > otsu(s))
        return out


def aligned(
    propagator: Propagator,
    shots: Sequence[ReferenceSlice],
    class_ids: Sequence[int],
    steps: int = STEPS,
    tell: Callable[[int, float], None] = lambda step, loss: None,
    seed: int = 0,
) -> Propagator:
    """A copy whose neck was trained on the references; the trunk's features of them are made once and kept."""
    network = copy.deepcopy(propagator.network).eval().requires_grad_(False)
    out = replace(propagator, network=network)
    neck = neck_of(out).requires_grad_(True)
    pairs = _pairs(out, shots, class_ids, seed)
    losses = descend(neck.parameters(), pairs, lambda first, look: _loss(neck, first, look), steps)
    for step, loss in enumerate(losses):
        tell(step, loss)
    network.requires_grad_(False)
    return out


@dataclass(frozen=True)
class _Kept:
    """What the trunk sees of a picture, and where the object is on the neck's coarsest level."""

    hidden: tuple[Tensor, ...]
    mask: Tensor  # (H, W) float


def _pairs(
    propagator: Propagator, shots: Sequence[ReferenceSlice], class_ids: Sequence[int], seed: int
) -> list[tuple[_Kept, list[_Kept]]]:
    rng, pairs = np.random.default_rng(seed), []
    for shot in shots:
        slices = [shot, *(augmented_slice(shot, rng) for _ in range(AUGMENTED_PER_SLICE))]
        seen = [trunk(propagator, each.picture) for each in slices]
        for value in class_ids:
            if not (shot.values == value).any():
                continue
            kept = [
                _Kept(hidden, torch.from_numpy((each.values == value).astype(np.float32)))
                for hidden, each in zip(seen, slices, strict=True)
            ]
            pairs.append((kept[0], kept[1:]))
    return pairs


def _loss(neck: nn.Module, first: _Kept, look: _Kept) -> Tensor:
    f, f_aug = coarsest(neck, first.hidden), coarsest(neck, look.hidden)
    m, m_aug = (F.adaptive_avg_pool2d(k.mask[None].to(f), (f.shape[1], f.shape[2]))[0] for k in (first, look))
    s_aug = likeness(f_aug, prototype(f, m > 0.5 if bool((m > 0.5).any()) else m >= m.max()))
    s_rec = likeness(f, prototype(f_aug, s_aug > otsu(s_aug.detach())))
    bce = F.binary_cross_entropy_with_logits
    return bce(s_aug, (m_aug > 0.5).to(f)) + bce(s_rec, (m > 0.5).to(f))


def trunk(propagator: Propagator, picture: RGBSlice) -> tuple[Tensor, ...]:
    """What comes into the neck."""
    kept: list[tuple[Tensor, ...]] = []
    hook = neck_of(propagator).register_forward_pre_hook(lambda module, args: kept.append(tuple(args[0])))
    try:
        with torch.no_grad():
            side = int(propagator.network.config.prompt_encoder_config.image_size)
            propagator.network.vision_encoder(normalised(picture, side).to(propagator.place.device))
    finally:
        hook.remove()
    return tuple(h.detach() for h in kept[0])


def coarse(propagator: Propagator, picture: RGBSlice) -> Tensor:
    """(D, h, w) of the neck's coarsest level."""
    with torch.no_grad():
        return coarsest(neck_of(propagator), trunk(propagator, picture)).float().cpu()


def coarsest(neck: nn.Module, hidden: tuple[Tensor, ...]) -> Tensor:
    return neck(hidden)[0][0][0]


def neck_of(propagator: Propagator) -> nn.Module:
    return propagator.network.vision_encoder.neck


def nearest_shot(shots: Sequence[ReferenceSlice], value: int, along: float) -> ReferenceSlice | None:
    """The reference slice that shows a class nearest to this place of the volume."""
    showing = [shot for shot in shots if (shot.values == value).any()]
    return min(showing, key=lambda shot: abs(shot.along - along), default=None)


def stretched(shot: ReferenceSlice, shape: tuple[int, int]) -> ReferenceSlice:
    """The reference at the target's size: a film has one."""
    if shot.values.shape == shape:
        return shot
    picture = np.asarray(cv2.resize(shot.picture, shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    values = np.asarray(cv2.resize(shot.values, shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    return replace(shot, picture=picture, values=values)


def morph(a: RGBSlice, b: RGBSlice, frames: int) -> list[RGBSlice]:
    """Pictures in between: both moved along the optical flow, and blended."""
    if frames <= 0:
        return []
    grey = [
        np.pad(p.mean(2).astype(np.uint8), [(0, max(0, SMALLEST - n)) for n in p.shape[:2]], mode="edge")
        for p in (a, b)
    ]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    still = np.zeros((0, 0), np.float32)
    ahead, back = (
        np.asarray(search.calc(x, y, still), np.float32)[: a.shape[0], : a.shape[1]]
        for x, y in (grey, grey[::-1])
    )
    out = []
    for t in np.linspace(*BETWEEN, frames):
        blend = (1 - t) * _moved(a, -t * ahead) + t * _moved(b, -(1 - t) * back)
        out.append(np.clip(blend, 0, 255).astype(np.uint8))
    return out


def _moved(picture: RGBSlice, field: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.indices(picture.shape[:2], np.float32)
    x, y = columns + field[..., 0].astype(np.float32), rows + field[..., 1].astype(np.float32)
    moved = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def logit(p: NDArray[np.float32]) -> NDArray[np.float32]:
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p)).astype(np.float32)
