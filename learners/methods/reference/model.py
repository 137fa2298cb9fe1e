"""What a round learned from the references, and how it predicts: slice by slice, no network of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.methods.reference.align import Neck
from learners.methods.reference.features import Dense, zoom_for
from learners.methods.reference.head import ReferenceHead, Scaling, likeness_of, otsu, own_threshold
from learners.methods.reference.objects import only_above, pieces_of, refined
from learners.methods.reference.reference_slices import ReferenceSlice
from learners.prediction.predict import Tile
from learners.training.data import ImageReader
from learners.training.pictures import picture_of
from models.prompt import PromptModel

SHARP = 6.0  # how fast a score becomes certainty
STRETCH = 2.0  # of a cosine, to be as large as a score
PLACES = 6  # channels that say where in a scan a cell lies


@dataclass(frozen=True)
class FeatureExtractor:
    """How pictures are looked at."""

    dense: Dense
    diameter: float  # of the typical object, pixels
    placed: tuple[
        int, ...
    ] = ()  # axes of the slice (0 along it, 1 rows, 2 columns) whose place means something
    centred: tuple[int, ...] = ()  # axes of which only the distance from the middle does

    def __call__(self, picture: NDArray[np.uint8], along: float) -> list[Tensor]:
        """Levels of (D, h, w); the last one says where the cells lie, where that means anything."""
        levels = self.dense(picture, zoom_for(self.diameter, picture.shape[:2]))
        if not self.placed and not self.centred:
            return levels
        return [*levels, self._places(along, levels[0].shape[-2], levels[0].shape[-1])]

    def _places(self, along: float, h: int, w: int) -> Tensor:
        """(PLACES, h, w) linear and squared; an axis that says nothing is 0."""
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        out = torch.zeros(PLACES, h, w)
        for axis, at in enumerate((torch.full((h, w), 2 * along - 1), rows, columns)):
            if axis in self.placed:
                out[axis] = at
            if axis in self.placed or axis in self.centred:
                out[3 + axis] = at.abs()
        return out


@dataclass(frozen=True)
class ClassModel:
    """One class: how it is told from the rest, and from when on it counts."""

    head: ReferenceHead
    threshold: float
    gate: float = 0.0  # the peak from which on a piece counts
    activation: float = 0.0  # with a neck: the likeness from which on the class can be there at all
    own: bool = False  # whether each image finds its own threshold; `threshold` is the usual one then
    doubted: bool = False  # whether prototypes are asked instead of the discriminant


@dataclass(frozen=True)
class View:
    """What was learned from one reference picture, or from all references of scans together."""

    sight: FeatureExtractor
    scaling: Scaling
    seen: dict[int, ClassModel]  # class -> it; classes that no reference shows are not among them
    neck: Neck | None = None

    def look(self, picture: NDArray[np.uint8], along: float) -> Tensor:
        """(D, h, w) what heads see."""
        x = self.scaling(self.sight(picture, along))
        return x if self.neck is None else self.neck.apply(x)

    def score(self, value: int, x: Tensor) -> Tensor:
        """(h, w) above 0 where a class is.

        With a neck by CAV-SAM's own rule: the likeness to the prototype, cut by Otsu's threshold, and nowhere where it
        stays below what the references' objects have. Where the discriminant is doubted the nearest prototype tells,
        and the picture's own threshold.
        """
        one = self.seen[value]
        if one.doubted:
            near = one.head.nearest(x)
            return STRETCH * (near - otsu(near))
        if self.neck is None:
            scores = one.head.scores(x)
            return scores - (own_threshold(scores, one.threshold, one.gate) if one.own else one.threshold)
        s = likeness_of(one.head, x)
        return STRETCH * (s - max(otsu(s), one.activation))


@dataclass(frozen=True)
class Reference:
    """Predicts whole images by what its views say together. `prompt_model` is None where asking it made the
    references worse."""

    views: tuple[View, ...]
    class_ids: tuple[int, ...]
    axis: int = 0  # slices are looked at along it
    joined: bool = False  # neighbouring slices lie close enough to agree
    prompt_model: PromptModel | None = None

    @property
    def diameter(self) -> float:
        """Of the typical object in pixels."""
        return float(np.median([view.sight.diameter for view in self.views]))

    @property
    def doubted(self) -> bool:
        """Whether a single picture speaks, and is not taken at its word."""
        return len(self.views) == 1 and any(one.doubted for one in self.views[0].seen.values())

    def gate(self, value: int) -> float | None:
        """The peak from which on a piece of a class counts; None where no reference shows the class."""
        gates = [view.seen[value].gate for view in self.views if value in view.seen]
        return float(np.mean(gates)) if gates else None

    def scores(self, picture: NDArray[np.uint8], along: float) -> tuple[NDArray[np.float32], Tensor]:
        """(K, H, W) above 0 where a class is, and the (D, h, w) that the first view told this from.

        Several views count alike, none more than a sure yes or no: what is typical for one says nothing to another.
        """
        looks = [view.look(picture, along) for view in self.views]
        out = np.full((len(self.class_ids), *picture.shape[:2]), -1, np.float32)
        for k, value in enumerate(self.class_ids):
            said = [
                at_size(view.score(value, x), picture.shape[:2])
                for view, x in zip(self.views, looks, strict=True)
                if value in view.seen
            ]
            if said:
                out[k] = said[0] if len(said) == 1 else np.mean([each.clip(-1, 1) for each in said], 0)
        return out, looks[0]

    def objects(self, scores: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(K, H, W) with what is no object put down, and the prompt model's borders."""
        out = scores.copy()
        for k, value in enumerate(self.class_ids):
            gate = self.gate(value)
            if gate is None or not (scores[k] > 0).any():
                continue
            pieces = pieces_of(scores[k], self.diameter)
            out[k] = only_above(scores[k], pieces, gate)
            if self.prompt_model is not None:
                kept = [p for p in pieces if p.peak >= gate]
                out[k] = refined(out[k], kept, self.prompt_model, picture)
        return out

    def tiles(self, case: ImageReader) -> Iterator[Tile]:
        """One slice at a time."""
        count = case.example.shape[self.axis]
        window: dict[int, tuple[NDArray[np.float32], Tensor, NDArray[np.uint8]]] = {}
        for i in range(count):
            for near in (i - 1, i, i + 1) if self.joined else (i,):
                if 0 <= near < count and near not in window:
                    picture = picture_of(case, self.axis, near)
                    window[near] = (*self.scores(picture, near / max(1, count - 1)), picture)
            window.pop(i - 2, None)
            _, x, picture = window[i]
            scores = self.objects(
                _agreed([w[0] for k, w in window.items() if abs(k - i) <= 1], window[i][0]), picture
            )
            p = chances(scores)
            at = [slice(0, n) for n in case.example.shape]
            at[self.axis] = slice(i, i + 1)
            yield Tile(tuple(at), np.expand_dims(p, self.axis + 1), x.mean((1, 2)).numpy())  # type: ignore[arg-type]


def chances(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K, H, W) scores to (K + 1, H, W) probabilities, background first."""
    z = np.concatenate([np.zeros((1, *scores.shape[1:]), np.float32), SHARP * scores])
    z = np.exp(z - z.max(0))
    return (z / z.sum(0)).astype(np.float32)


def at_size(scores: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) interpolated to the picture's own size."""
    return np.asarray(cv2.resize(scores.numpy(), shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def class_map_of(reference: Reference, shot: ReferenceSlice, *, objects: bool = True) -> NDArray[np.uint8]:
    """(H, W) label values of one slice."""
    scores, _ = reference.scores(shot.picture, shot.along)
    if objects:
        scores = reference.objects(scores, shot.picture)
    return np.array([0, *reference.class_ids], np.uint8)[chances(scores).argmax(0)]


def _agreed(near: Sequence[NDArray[np.float32]], own: NDArray[np.float32]) -> NDArray[np.float32]:
    """A slice counts as much as its neighbours together."""
    if len(near) == 1:
        return own
    others = [n for n in near if n is not own]
    return np.asarray((own + sum(others) / len(others)) / 2, np.float32)
