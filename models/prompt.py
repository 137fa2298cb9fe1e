"""What a prompt model takes and gives. Coordinates are (row, column) in slice pixels, integer at pixel centres."""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Prompts from which on the mask that the newest one corrects goes along with them (RITM, Sofiiuk et al., 2021): the
# page does so, and whoever simulates a person. Two clicks without it may still mean something else than the first.
HANDED_BACK = 3

FloatBox = tuple[float, float, float, float]  # row0, column0, row1, column1


@dataclass(frozen=True)
class Scribble:
    """A stroke, positive (label 1) or negative (label 0), as the (row, column) points the pen went through."""

    label: int
    points_rc: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Prompts:
    """Everything a person pointed at on one slice. A value: change makes a new one."""

    points_rc: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()  # one per point: 1 on the object, 0 beside it
    box: FloatBox | None = None
    scribbles: tuple[Scribble, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, compare=False)  # (H, W): a label or answer to refine
    view: FloatBox | None = None  # the part on screen, as a box: a hint about scale

    def __post_init__(self) -> None:
        if len(self.points_rc) != len(self.labels):
            raise ValueError(
                f"{len(self.points_rc)} points but {len(self.labels)} labels; give one label per point"
            )
        if set(self.labels) - {0, 1} or {s.label for s in self.scribbles} - {0, 1}:
            raise ValueError("a point or scribble is labelled 1 (object) or 0 (background)")
        flat = [v for p in self.points_rc for v in p]
        flat += [v for s in self.scribbles for p in s.points_rc for v in p]
        flat += [*(self.box or ()), *(self.view or ())]
        if not np.isfinite(flat).all():
            raise ValueError("prompt coordinates must be finite numbers")

    @property
    def empty(self) -> bool:
        return not (self.points_rc or self.box or self.scribbles or self.mask is not None)


def correcting(prompts: Prompts, shown: NDArray[np.bool_]) -> Prompts:
    """As a page asks whose (H, W) mask the newest of the prompts corrects."""
    count = len(prompts.labels) + len(prompts.scribbles) + (prompts.box is not None)
    return replace(prompts, mask=shown) if count >= HANDED_BACK and shown.any() else prompts


@dataclass(frozen=True)
class Embedding:
    """What a prompt model made of one image: a value that can be written to disk and read back."""

    model_id: str  # name and weights of the model that made it; another model refuses it
    shape: tuple[int, int]  # (H, W) of the image
    arrays: dict[str, NDArray[Any]]  # by the model's own names


@dataclass(frozen=True)
class MaskPrediction:
    """Candidate masks, best first."""

    masks: NDArray[np.bool_]  # (N, H, W), N >= 1
    scores: NDArray[np.float32]  # (N,) the model's own estimate of IoU, 0 to 1, falling

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or len(self.masks) == 0 or len(self.masks) != len(self.scores):
            raise ValueError(
                f"masks {self.masks.shape} need (N, H, W) and {len(self.scores)} scores to match"
            )

    @property
    def mask(self) -> NDArray[np.bool_]:
        best: NDArray[np.bool_] = self.masks[0]
        return best


class PromptModel(Protocol):
    """Encoding may be slow and is cached by the caller; predicting is fast. Neither keeps any state."""

    @property
    def model_id(self) -> str:
        """Name plus what its weights are: the key under which embeddings are cached."""

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Embed one (H, W, 3) RGB slice, windowed to 0..255."""

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Segment the object the prompts point at. Prompts outside the image are clipped to it."""


def tighter(box: FloatBox, share: float) -> FloatBox:
    """The box with this share of its height and width taken off each side."""
    row0, column0, row1, column1 = box
    high, wide = share * (row1 - row0), share * (column1 - column0)
    return row0 + high, column0 + wide, row1 - high, column1 - wide
