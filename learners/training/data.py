"""Images and targets, opened where they are used."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.patches.held import tensor_of
from learners.spec import Example
from learners.training.targets import (
    OPEN_BACKGROUND,
    Classes,
    Target,
    TrustAt,
    only_slices,
    propagated_trust,
    target_of,
    with_fill,
    without_slices,
)
from models.networks import NetworkSpec
from storage.arrays import UNLABELLED, Box3, TornFile, open_npy, plane

PERCENTILES = (0.5, 99.5)
LOOKED_AT = 200_000  # voxels to find the percentiles from
KEPT_PLACES = 5000  # voxels of each class of an image that patches are centred on
NEARLY_WHOLE = 0.9  # of a slice known: it shows how much of an image is object

# From the rounds that saw a fill before to how far it is trusted now.
TrustSchedule = Callable[[int], TrustAt]


class ImageReader:
    """An example whose files are opened for each look: a project may have more images than files can be open."""

    def __init__(self, example: Example, classes: Classes, channels: int, named: Sequence[str] = ()) -> None:
        """`named`: the channels of a network that has them by name; without, it sees the picture."""
        self.example, self.channels, self._classes, self.named = example, channels, classes, named
        self._ranges: dict[Path, tuple[float, float]] = {}
        self.places: dict[int, NDArray[np.int32]] = {}
        for path in self.files:
            open_npy(path)  # raises TornFile now, when the image can still be left out
        if not example.all_held and (example.known is not None or example.guess is not None):
            self.places = _places(self._trained_on(), classes)

    def _trained_on(self) -> NDArray[np.uint8]:
        """(Z, Y, X) label values, the guessed ones where nobody said anything."""
        example = self.example
        said = np.full(example.shape, UNLABELLED, np.uint8)
        if example.known is not None:
            said = without_slices(open_npy(example.known), example.held)
        if example.guess is None:
            return said
        trusted = open_npy(example.guess.trust) > 0
        return np.where((said == UNLABELLED) & trusted, open_npy(example.guess.classes), said)

    @property
    def labelled(self) -> bool:
        return bool(self.places) or bool(self.example.boxes and not self.example.all_held)

    def held_out(self) -> NDArray[np.uint8] | None:
        """(Z, Y, X) label values to judge by, UNLABELLED elsewhere; None where nothing judges."""
        if self.example.judge is not None:
            judging = open_npy(self.example.judge)
            return judging if (judging != UNLABELLED).any() else None
        if self.example.known is None or not (self.example.all_held or self.example.held):
            return None
        known = open_npy(self.example.known)
        return known if self.example.all_held else only_slices(known, self.example.held)

    def held_numbers(self) -> NDArray[np.uint16] | None:
        """(Z, Y, X) object numbers of what `held_out` says; None where no object has one."""
        path = self.example.numbers if self.example.judge is None else self.example.judge_numbers
        return None if path is None else open_npy(path)

    def look(self, region: Box3) -> NDArray[np.float32]:
        """(C, z, y, x) pixels in 0..1 of a box inside the image; grey is repeated where others have colour."""
        return self.look_on("cpu", region).contiguous().numpy()

    def look_on(self, device: str, region: Box3) -> Tensor:
        """The same on a device, where the file's own numbers go."""
        return self.seen(lambda path: tensor_of(open_npy(path)[region]).to(device))

    def seen(self, part: Callable[[Path], Tensor]) -> Tensor:
        """(C, z, y, x) pixels in 0..1 of what `part` answers of a file: each channel normalised for itself, dark where
        the image has none of that name. An image without channels shows its grey in all of them."""
        picture = self.example.pixels
        if not self.named:
            return normalised(part(picture), *self._range(picture), self.channels)
        there = {
            channel.name: normalised(part(channel.pixels), *self._range(channel.pixels), 1)[0]
            for channel in self.example.named
            if channel.name in self.named
        }
        if not there:
            grey = normalised(part(picture), *self._range(picture), 1)[0]
            return (grey * (not self.example.named)).expand(len(self.named), *grey.shape)
        dark = torch.zeros_like(next(iter(there.values())))
        return torch.stack([there.get(name, dark) for name in self.named])

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that `seen` asks for."""
        own = [channel.pixels for channel in self.example.named if channel.name in self.named]
        return tuple(own) or (self.example.pixels,)

    def _range(self, path: Path) -> tuple[float, float]:
        """Where most intensities of a file lie."""
        if path not in self._ranges:
            self._ranges[path] = percentiles(open_npy(path))
        return self._ranges[path]

    def known(self, region: Box3) -> NDArray[np.uint8]:
        """(z, y, x) label values of a box inside the image that may be trained on."""
        assert self.example.known is not None
        values = np.array(open_npy(self.example.known)[region])
        for axis, index in self.example.held:
            if region[axis].start <= index < region[axis].stop:
                plane(values, axis, index - region[axis].start)[:] = UNLABELLED
        return values

    def target(self, region: Box3, schedule: TrustSchedule | None = None) -> Target:
        """(z, y, x) what may be trained on in a box inside the image; with `schedule` also what was propagated."""
        none = np.full([part.stop - part.start for part in region], UNLABELLED, np.uint8)
        said = target_of(none if self.example.known is None else self.known(region), self._classes)
        if (guess := self.example.guess) is not None:
            guessed, trust = (np.array(open_npy(path)[region]) for path in (guess.classes, guess.trust))
            said = with_fill(said, guessed, trust, np.ones(trust.shape, np.float32), self._classes)
        fill = self.example.fill
        if schedule is None or fill is None:
            return said
        trust = propagated_trust(region, self.example.slices, self.example.held, schedule(fill.rounds))
        filled, confidence = (np.array(open_npy(path)[region]) for path in (fill.classes, fill.confidence))
        return with_fill(said, filled, confidence, trust, self._classes)

    def proposed(self, region: Box3) -> Target:
        """(z, y, x) what the last model wrote."""
        assert self.example.pseudo is not None
        return target_of(np.array(open_npy(self.example.pseudo.classes)[region]), self._classes)

    @property
    def shows_shares(self) -> bool:
        """Whether a slice that is not held out is known nearly whole: clicks alone do not say how much is object."""
        if self.example.known is None or self.example.all_held:
            return False
        known = without_slices(open_npy(self.example.known), self.example.held)
        return any(
            ((known != UNLABELLED).mean(others) > NEARLY_WHOLE).any()
            for others in ((1, 2), (0, 2), (0, 1))[: 3 if len(known) > 1 else 1]
        )


def reliable(readers: Sequence[ImageReader], share: float) -> tuple[int, ...]:
    """So much (0..1) of the images that nobody labelled, the more stable ones."""
    unlabelled = [
        r.example
        for r in readers
        if r.example.pseudo is not None and not r.labelled and not r.example.all_held
    ]
    ranked = sorted(unlabelled, key=lambda e: (-(e.pseudo.stability if e.pseudo else 0), e.image_id))
    return tuple(e.image_id for e in ranked[: math.ceil(len(ranked) * share)])


def open_readers(
    examples: Sequence[Example], classes: Classes, network: NetworkSpec, notes: list[str]
) -> list[ImageReader]:
    """Every image that can be read; a torn one is left out and named in `notes`."""
    cases = []
    for example in examples:
        try:
            cases.append(ImageReader(example, classes, network.channels, network.named))
        except TornFile:
            notes.append(f"image {example.image_id} cannot be read and was left out")
    return cases


def percentiles(pixels: NDArray[Any]) -> tuple[float, float]:
    """Where most intensities of an image lie; equal ends are moved apart."""
    step = max(1, round((pixels.size / LOOKED_AT) ** (1 / 3)))
    some = np.asarray(
        pixels[tuple(slice(None, None, step if n > 3 else 1) for n in pixels.shape)], np.float64
    )
    some = some[np.isfinite(some)]
    low, high = np.percentile(some, PERCENTILES) if some.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def normalised(part: Tensor, low: float, high: float, channels: int) -> Tensor:
    """(z, y, x[, C]) of any type to (channels, z, y, x) float32 around 0..1; colours become grey for a network of
    grey."""
    values = part.to(torch.float32).sub(low).div_(high - low)
    values = (values.nan_to_num_() if part.is_floating_point() else values).clamp_(-0.2, 1.2)
    if part.dim() == 4 and channels == 1:
        values = values.mean(3)
    if values.dim() == 4:
        return values.movedim(3, 0)
    return values.expand(channels, *values.shape)


def _places(known: NDArray[np.uint8], classes: Classes) -> dict[int, NDArray[np.int32]]:
    """Channel -> (N, 3) voxels of it, a regular choice where there are many."""
    table, found = classes.to_channels(), {}
    for channel in range(len(classes)):
        values = [v for v in range(256) if table[v] == channel or (channel == 0 and v == OPEN_BACKGROUND)]
        flat = np.flatnonzero(np.isin(known, np.array(values, np.uint8)))
        if len(flat):
            flat = flat[:: max(1, len(flat) // KEPT_PLACES)]
            found[channel] = np.stack(np.unravel_index(flat, known.shape), 1).astype(np.int32)
    return found
