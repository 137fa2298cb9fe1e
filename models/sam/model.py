"""Segment Anything by the `segment_anything` package: vit_b, vit_l, vit_h, and vit_t with MobileSAM's encoder.

Any checkpoint of these shapes works: the originals, MedSAM, micro-sam, MobileSAM. Encoding is the slow part (seconds on
a CPU) and gives a (256, 64, 64) embedding; a prediction takes a tenth of that or less.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from models.prompt import Embedding, MaskPrediction, Prompts
from models.sam.checkpoint import Checkpoint, WrongFile, open_checkpoint
from models.sam.decoder import Decoder, TorchDecoder
from models.sam.prompts import sam_prompts
from models.sam.tiny_vit import TinyViT
from models.sam.torchvision_cpu import ensure_torchvision

PIXELS_FOR_CHOICE = 1 << 26  # above 64 megapixels only the best mask is made, for memory's sake


@dataclass(frozen=True)
class DevicePrecision:
    """Where a network runs and in which precision its encoder does."""

    device: torch.device
    precision: torch.dtype


PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


def name_in(precision: torch.dtype, name: str) -> str:
    """A model's name for the cache: embeddings of one precision are no other's."""
    return name if precision == torch.float32 else f"{name}-{str(precision).removeprefix('torch.')}"


def precision_of(model_id: str, name: str) -> torch.dtype:
    """The precision that this name of a model says. Raises ValueError where it is another model's."""
    for precision in PRECISIONS:
        if name_in(precision, name) == model_id:
            return precision
    raise ValueError(f"this is {name}, not {model_id}; give both machines the same weights")


class SamModel:
    """A prompt model around a `segment_anything.modeling.Sam`; thread-safe, since nothing is changed after making."""

    def __init__(self, sam: Any, name: str, place: DevicePrecision, decode: Decoder | None = None) -> None:
        self._sam = sam.to(place.device).eval()
        self._place = place
        self._decode = decode or TorchDecoder(self._sam)
        self._name = f"{name}-{sam.image_encoder.img_size}"

    @property
    def model_id(self) -> str:
        return name_in(self._place.precision, self._name)

    def in_precision_of(self, model_id: str) -> "SamModel":
        """The same network as it encodes on a machine where it has this name. Raises ValueError for another network."""
        other = copy.copy(self)
        other._place = replace(self._place, precision=precision_of(model_id, self._name))
        return other

    @property
    def device(self) -> str:
        return str(self._place.device)

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Seconds on a CPU. Arrays: `features` (1, 256, 64, 64) float16."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(
                f"the picture must be (H, W, 3) uint8 with pixels in it, got {image.dtype} {image.shape}"
            )
        side = self._sam.image_encoder.img_size
        pixels = torch.from_numpy(longest_side(image, side)).permute(2, 0, 1)[None].to(self._place.device)
        kind, low = self._place.device.type, self._place.precision != torch.float32
        with torch.inference_mode(), torch.autocast(kind, self._place.precision, enabled=low):
            features = self._sam.image_encoder(self._sam.preprocess(pixels.float()))
        limit = torch.finfo(torch.float16).max
        halved = features.float().clamp(-limit, limit).half()
        return Embedding(self.model_id, image.shape[:2], {"features": halved.cpu().numpy()})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Three candidates for a single click, one mask otherwise."""
        if embedding.model_id != self.model_id:
            raise ValueError(f"this embedding was made by {embedding.model_id}, not by {self.model_id}")
        side = self._sam.image_encoder.img_size
        given = sam_prompts(prompts, embedding.shape, side)
        logits, scores = self._decode(embedding.arrays["features"].astype(np.float32), given)
        chosen = 1 + np.argsort(-scores[1:], kind="stable") if given.ambiguous else np.array([0])
        if embedding.shape[0] * embedding.shape[1] > PIXELS_FOR_CHOICE:
            chosen = chosen[:1]
        masks = np.stack([full_size(logits[i], embedding.shape, side) for i in chosen])
        return MaskPrediction(masks, np.clip(scores[chosen], 0, 1).astype(np.float32))


def longest_side(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(h, w, 3) the picture resized so that its longer side is `side`, as SAM was trained: PIL, bilinear."""
    h, w = resized_shape(image.shape[:2], side)
    return np.array(Image.fromarray(np.ascontiguousarray(image)).resize((w, h), Image.Resampling.BILINEAR))


def resized_shape(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """At least one pixel across, however thin the picture is."""
    scale = side / max(shape[:2])
    return max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5))


def full_size(logits: NDArray[np.float32], shape: tuple[int, int], side: int) -> NDArray[np.bool_]:
    """(H, W) the mask at the slice's size; huge slices are filled only around the mask."""
    h, w = resized_shape(shape, side)
    square = F.interpolate(
        torch.from_numpy(logits)[None, None], (side, side), mode="bilinear", align_corners=False
    )
    inner = square[..., :h, :w]
    if shape[0] * shape[1] <= PIXELS_FOR_CHOICE:
        return (F.interpolate(inner, shape, mode="bilinear", align_corners=False)[0, 0] > 0).numpy()
    return enlarged_where_needed(inner[0, 0].numpy(), shape)


def enlarged_where_needed(soft: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """As interpolation to `shape`, computed only for the bounding box of what is above 0."""
    mask = np.zeros(shape, bool)
    if not (soft > 0).any():
        return mask
    zoom = np.array(shape) / soft.shape
    rows, columns = np.flatnonzero((soft > 0).any(1)), np.flatnonzero((soft > 0).any(0))
    r0, c0 = (int(max(0, (at[0] - 1) * z)) for at, z in zip((rows, columns), zoom, strict=True))
    r1, c1 = (
        int(min(n, np.ceil((at[-1] + 2) * z))) for at, z, n in zip((rows, columns), zoom, shape, strict=True)
    )
    back = 1 / zoom
    inverse = np.array([
        [back[1], 0, (c0 + 0.5) * back[1] - 0.5],
        [0, back[0], (r0 + 0.5) * back[0] - 0.5],
    ])  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = cv2.warpAffine(soft, inverse, (c1 - c0, r1 - r0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask[r0:r1, c0:c1] = part > 0
    return mask


def load_sam(path: Path | None, place: DevicePrecision | None = None) -> SamModel:
    """Any SAM checkpoint; which one is told by the file. Raises WrongFile where it is something else."""
    if path is None:
        raise ValueError("SAM needs a checkpoint: download one or choose a file")
    checkpoint = open_checkpoint(path)
    if not checkpoint.is_sam:
        raise WrongFile(
            f"{path.name} is {checkpoint.kind}, not SAM vit_b, vit_l, vit_h or MobileSAM; choose one of those"
        )
    sam = sam_network(checkpoint, path.name)
    place = place or best_place()
    decode: Decoder | None = None
    if place.device.type == "cpu":
        from models.sam.onnx_decoder import onnx_decoder

        decode = onnx_decoder(sam, path.with_name(f"{path.stem}-{checkpoint.digest}-decoder.onnx"))
    return SamModel(sam, f"sam-{checkpoint.kind}-{checkpoint.digest}", place, decode)


def sam_network(checkpoint: Checkpoint, name: str) -> Any:
    """The network of this kind with these weights, every name matched; `name` is the file's, for the message."""
    sam = empty_sam(checkpoint.kind)
    try:
        sam.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        wrong = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WrongFile(
            f"{name} looks like SAM {checkpoint.kind} but does not fit it ({wrong[:160]})"
        ) from error
    return sam.eval()


def empty_sam(kind: str) -> Any:
    """A `Sam` of one of the four kinds with random weights."""
    ensure_torchvision()
    from segment_anything import sam_model_registry
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from segment_anything.modeling.common import LayerNorm2d

    if kind in sam_model_registry:
        return sam_model_registry[kind]()
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    return Sam(
        TinyViT(1024, LayerNorm2d),
        PromptEncoder(
            embed_dim=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=16
        ),
        MaskDecoder(transformer_dim=256, transformer=transformer),
    )


def best_place() -> DevicePrecision:
    """CUDA before Apple's GPU before the CPU; half precision for the encoder where the hardware has it."""
    if torch.cuda.is_available():
        precision = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return DevicePrecision(torch.device("cuda"), precision)
    if torch.backends.mps.is_available():
        return DevicePrecision(torch.device("mps"), torch.float32)
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16")
    return DevicePrecision(torch.device("cpu"), torch.bfloat16 if fast else torch.float32)
