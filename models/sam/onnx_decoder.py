"""SAM's prompt encoder and mask decoder on onnxruntime: a third faster than torch on a CPU, exported once a checkpoint.

The exported file lies beside the weights. It is used only where its answers equal torch's; in every other case (package
`onnx` not installed, folder not writable, export failed) torch decodes, which is slower and otherwise the same.
"""

import logging
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from models.sam.decoder import Decoder, MasksAndScores, TorchDecoder
from models.sam.prompts import SamPrompts

log = logging.getLogger(__name__)
OPSET = 17


def onnx_decoder(sam: Any, path: Path) -> Decoder:
    """The faster of the two decoders for this network; `path` is where its export is kept."""
    torch_decoder = TorchDecoder(sam)
    try:
        if not path.exists():
            export(sam, path)
        candidate = OnnxDecoder(session(path), sam.image_encoder.img_size)
        if faster_and_equal(candidate, torch_decoder, sam):
            return candidate
    except Exception as error:  # the exporter raises what its parts raise; torch decodes as well
        log.info("SAM's decoder stays on torch: %s", str(error).splitlines()[0] if str(error) else error)
    return torch_decoder


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def export(sam: Any, path: Path) -> None:
    """Write the decoder without its final enlargement, whose size the package's own export freezes."""
    from segment_anything.utils.onnx import SamOnnxModel

    class LowResolution(SamOnnxModel):
        def mask_postprocessing(self, masks: torch.Tensor, orig_im_size: torch.Tensor) -> torch.Tensor:
            return masks

    size, channels = sam.prompt_encoder.image_embedding_size, sam.prompt_encoder.embed_dim
    example = {
        "image_embeddings": torch.randn(1, channels, *size),
        "point_coords": torch.rand(1, 3, 2) * sam.image_encoder.img_size,
        "point_labels": torch.tensor([[1.0, 0.0, -1.0]]),
        "mask_input": torch.randn(1, 1, 4 * size[0], 4 * size[1]),
        "has_mask_input": torch.ones(1),
        "orig_im_size": torch.tensor([64.0, 64.0]),
    }
    temporary = path.with_name(path.name + ".tmp")
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter(
                "ignore"
            )  # tracing warns of every constant, as it does for the package's own export
            torch.onnx.export(
                LowResolution(sam, return_single_mask=False), tuple(example.values()), str(temporary), dynamo=False,
                input_names=list(example), output_names=["masks", "scores", "low_resolution"], opset_version=OPSET,
                dynamic_axes={"point_coords": {1: "points"}, "point_labels": {1: "points"}},
            )  # fmt: skip
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class OnnxDecoder:
    """The exported decoder; a session may be run from several threads."""

    session: onnxruntime.InferenceSession
    side: int

    def __call__(self, features: NDArray[np.float32], prompts: SamPrompts) -> MasksAndScores:
        points, labels = with_box(prompts)
        quarter = self.side // 4
        mask = prompts.mask if prompts.mask is not None else np.zeros((quarter, quarter), np.float32)
        scores, logits = self.session.run(
            ["scores", "low_resolution"],
            {
                "image_embeddings": features,
                "point_coords": points[None],
                "point_labels": labels[None],
                "mask_input": mask[None, None],
                "has_mask_input": np.array([prompts.mask is not None], np.float32),
            },
        )
        return logits[0], scores[0]


def with_box(prompts: SamPrompts) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points with the box as its two corners, labelled 2 and 3; without a box one point that says nothing."""
    if prompts.box_xyxy is None:
        extra, kinds = np.zeros((1, 2), np.float32), np.array([-1], np.float32)
    else:
        extra, kinds = prompts.box_xyxy.reshape(2, 2), np.array([2, 3], np.float32)
    return np.concatenate([prompts.points_xy, extra]), np.concatenate(
        [prompts.labels.astype(np.float32), kinds]
    )


def faster_and_equal(candidate: OnnxDecoder, reference: Any, sam: Any) -> bool:
    """One click on random features: the same logits within rounding, in less time."""
    size = sam.prompt_encoder.image_embedding_size
    shape = (1, sam.prompt_encoder.embed_dim, *size)
    features = np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)
    click = SamPrompts(np.array([[99, 160]], np.float32), np.ones(1, np.int32), None, None)
    (logits, scores), seconds = timed(candidate, features, click)
    (expected, wanted), torch_seconds = timed(reference, features, click)
    close = np.abs(logits - expected).max() <= 1e-3 * max(1.0, np.abs(expected).max())
    return bool(close and np.abs(scores - wanted).max() < 1e-3 * max(1.0, np.abs(wanted).max())) and (
        seconds < torch_seconds
    )


def timed(decode: Any, features: NDArray[np.float32], prompts: SamPrompts) -> tuple[MasksAndScores, float]:
    """The answer and the best time of three, in seconds."""
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        answer = decode(features, prompts)
        times.append(time.perf_counter() - start)
    return answer, min(times)
