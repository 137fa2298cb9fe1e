"""Augmented references: light, blur and noise, turned, shifted and scaled; the labels go along."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from learners.methods.reference.reference_slices import ReferenceSlice
from storage.arrays import UNLABELLED

DEGREES, SCALE, SHIFT = 30.0, (0.8, 1.25), 0.1
GAMMA, GAIN, LIFT = (0.7, 1.4), (0.75, 1.25), 0.1
NOISE, BLUR = 6.0, 1.2  # grey values; pixels


def augmented_slice(shot: ReferenceSlice, rng: np.random.Generator) -> ReferenceSlice:
    """What leaves the picture is lost; what comes in from outside is the repeated border, and unknown."""
    h, w = shot.values.shape
    turn = cv2.getRotationMatrix2D(
        (w / 2, h / 2), float(rng.uniform(-DEGREES, DEGREES)), float(rng.uniform(*SCALE))
    )
    turn[:, 2] = turn[:, 2] + rng.uniform(-SHIFT, SHIFT, 2) * (w, h)
    picture = cv2.warpAffine(shot.picture, turn, (w, h), borderMode=cv2.BORDER_REPLICATE)
    values = cv2.warpAffine(
        shot.values, turn, (w, h), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=UNLABELLED
    )  # fmt: skip
    return replace(
        shot, picture=other_light(np.asarray(picture, np.uint8), rng), values=np.asarray(values, np.uint8)
    )


def other_light(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) with another gamma, gain and black level; every other time blurred or noisy."""
    values = (picture / np.float32(255)) ** np.float32(rng.uniform(*GAMMA))
    values = (values * rng.uniform(*GAIN) + rng.uniform(-LIFT, LIFT)) * 255
    if rng.random() < 0.5:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.3, BLUR))), values.dtype)
    if rng.random() < 0.5:
        values = values + rng.normal(0, NOISE, values.shape[:2])[..., None]
    return np.clip(values, 0, 255).astype(np.uint8)
