"""python predict.py IMAGE OUT. Needs numpy, onnxruntime; pillow for pictures, nibabel for NIfTI.

This file lies beside an exported model and runs without the app.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Save = Callable[[np.ndarray, str], None]


def main(source: str, out: str) -> None:
    here = Path(__file__).parent
    card = json.loads((here / "model.json").read_text())
    session = onnxruntime.InferenceSession(str(here / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels, save = read_nifti(source) if source.endswith((".nii", ".nii.gz")) else read_picture(source)
    x = as_input(pixels, card)
    logits = np.concatenate([session.run(None, {"image": part})[0] for part in np.split(x, len(x))])
    best = np.array([0, *card["class_ids"]], np.uint8)[logits.argmax(1)]
    mask = best[0] if card["network"]["dims"] == 3 else best
    save(mask[tuple(slice(0, n) for n in pixels.shape[:3])], out)


def as_input(pixels: np.ndarray, card: dict[str, Any]) -> np.ndarray:
    """(z, y, x, c) pixels as the network takes them: (batch, channels, [z,] y, x), padded to its multiple."""
    dims, channels, scale = card["network"]["dims"], card["network"]["channels"], card["normalisation"]
    low, high = map(float, np.percentile(pixels, scale["percentiles"]))
    x = np.clip((pixels.astype(np.float32) - low) / max(high - low, 1e-6), *scale["clip"])
    x = np.moveaxis(np.repeat(x, channels, 3) if x.shape[3] < channels else x, 3, 0)[:channels]
    x = x[None] if dims == 3 else np.moveaxis(x, 1, 0)
    pads = [(0, -n % m) for n, m in zip(x.shape[2:], card["multiple"])]
    return np.pad(x, [(0, 0), (0, 0), *pads], mode="edge")


def read_nifti(source: str) -> tuple[np.ndarray, Save]:
    """(z, y, x, 1) pixels, rows down the screen as in the app."""
    import nibabel
    from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

    file: Any = nibabel.load(source)
    own, shown = nibabel.io_orientation(file.affine), axcodes2ornt("LPI")
    turned = apply_orientation(np.asarray(file.dataobj), ornt_transform(own, shown))

    def save(mask: np.ndarray, out: str) -> None:
        back = apply_orientation(mask.T, ornt_transform(shown, own))
        nibabel.save(nibabel.Nifti1Image(back, file.affine), out)

    return turned.T[..., None], save


def read_picture(source: str) -> tuple[np.ndarray, Save]:
    """(1, y, x, c) pixels, grey or colour."""
    from PIL import Image

    picture = np.asarray(Image.open(source))

    def save(mask: np.ndarray, out: str) -> None:
        Image.fromarray(mask[0]).save(out)

    return picture[None, ..., None] if picture.ndim == 2 else picture[None, ..., :3], save


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
