"""SAM 2.1 and EdgeTAM through `transformers` (optional extra): masks on a slice, and an object followed through slices.

Weights are a folder as `transformers` keeps them (`config.json` and `model.safetensors`, for example a download of
facebook/sam2.1-hiera-tiny). Tested with small networks of random weights; not run with trained ones.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models.prompt import Embedding, MaskPrediction, Prompts
from models.sam.checkpoint import WrongFile, digest_of
from models.sam.model import DevicePrecision, best_place, name_in, precision_of
from models.sam.prompts import CONFIDENT, SamPrompts, sam_prompts
from models.sam.torchvision_cpu import ensure_torchvision

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEVELS = 3  # feature maps of an embedding: quarter, eighth and sixteenth of the input size
FAMILIES = {"sam2": "Sam2", "sam2_video": "Sam2", "edgetam": "EdgeTam", "edgetam_video": "EdgeTam"}


class Sam2:
    """A prompt model around `Sam2Model` or `EdgeTamModel`; thread-safe, since nothing is changed after making."""

    def __init__(self, network: Any, name: str, place: DevicePrecision | None = None) -> None:
        self._place = place or best_place()
        self._network = network.to(self._place.device).eval()
        self._side = int(network.config.prompt_encoder_config.image_size)
        self._name = f"{name}-{self._side}"

    @property
    def model_id(self) -> str:
        return name_in(self._place.precision, self._name)

    def in_precision_of(self, model_id: str) -> "Sam2":
        """The same network as it encodes on a machine where it has this name. Raises ValueError for another network."""
        other = copy.copy(self)
        other._place = replace(self._place, precision=precision_of(model_id, self._name))
        return other

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """Arrays: `level0..2` (1, C, h, w) float16, fine to coarse; 8 MB at the full input size of 1024."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(
                f"the picture must be (H, W, 3) uint8 with pixels in it, got {image.dtype} {image.shape}"
            )
        pixels = normalised(image, self._side).to(self._place.device)
        kind, low = self._place.device.type, self._place.precision != torch.float32
        with torch.inference_mode(), torch.autocast(kind, self._place.precision, enabled=low):
            levels = self._network.get_image_embeddings(pixels)
        limit = torch.finfo(torch.float16).max
        arrays = {
            f"level{i}": f.float().clamp(-limit, limit).half().cpu().numpy() for i, f in enumerate(levels)
        }
        return Embedding(self.model_id, image.shape[:2], arrays)

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        """Three candidates for a single click, one mask otherwise."""
        if embedding.model_id != self.model_id:
            raise ValueError(f"this embedding was made by {embedding.model_id}, not by {self.model_id}")
        given = squared(prompts, embedding.shape, self._side)
        device = self._place.device
        levels = [torch.from_numpy(embedding.arrays[f"level{i}"]).float().to(device) for i in range(LEVELS)]
        points, labels = corner_points(given)
        with torch.inference_mode():
            answer = self._network(
                image_embeddings=levels,
                input_points=points[None, None].to(device),
                input_labels=labels[None, None].to(device),
                input_masks=None
                if given.mask is None
                else torch.from_numpy(given.mask)[None, None].to(device),
                multimask_output=given.ambiguous,
            )
        logits = answer.pred_masks[0, 0].float().cpu()
        scores = answer.iou_scores[0, 0].float().cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        masks = np.stack([enlarged(logits[i], embedding.shape) for i in order])
        return MaskPrediction(masks, np.clip(scores[order], 0, 1))


def normalised(image: NDArray[np.uint8], side: int) -> Tensor:
    """(1, 3, side, side): unlike the first SAM, this family sees every picture squeezed to a square."""
    square = np.array(
        Image.fromarray(np.ascontiguousarray(image)).resize((side, side), Image.Resampling.BILINEAR)
    )
    pixels = torch.from_numpy(square).permute(2, 0, 1).float() / 255
    return ((pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None])[None]


def squared(prompts: Prompts, shape: tuple[int, int], side: int) -> SamPrompts:
    """Prompts in the square picture; the mask is squeezed with it."""
    plain = sam_prompts(prompts, shape, max(shape))  # in slice pixels: clipped, strokes sampled
    zoom = np.array([side / shape[1], side / shape[0]], np.float32)
    mask = None
    if prompts.mask is not None and prompts.mask.any():
        small = cv2.resize(
            prompts.mask.astype(np.float32), (side // 4, side // 4), interpolation=cv2.INTER_AREA
        )
        mask = (2 * small - 1) * CONFIDENT
    box = None if plain.box_xyxy is None else plain.box_xyxy * np.tile(zoom, 2)
    return SamPrompts(plain.points_xy * zoom, plain.labels, box, mask)


def corner_points(given: SamPrompts) -> tuple[Tensor, Tensor]:
    """(N, 2) and (N,): the box as two points labelled 2 and 3, before the clicks, as this family was trained."""
    points, labels = given.points_xy, given.labels
    if given.box_xyxy is not None:
        points = np.concatenate([given.box_xyxy.reshape(2, 2), points])
        labels = np.concatenate([np.array([2, 3], np.int32), labels])
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(labels.astype(np.int32))


def enlarged(logits: Tensor, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) logits to an (H, W) mask."""
    return (F.interpolate(logits[None, None], shape, mode="bilinear", align_corners=False)[0, 0] > 0).numpy()


@dataclass(frozen=True)
class Propagator:
    """Follows one object through the slices of a stack with the memory of the video model."""

    network: Any
    make_session: Callable[..., Any]
    place: DevicePrecision

    def propagate(
        self,
        slices: NDArray[np.uint8],
        seeds: Mapping[int, NDArray[np.bool_]],
        report: Callable[[int, int], None],
    ) -> NDArray[np.float32]:
        """Probability of the object: (N, H, W, 3) windowed slices and masks on some of them -> (N, H, W).

        Runs once forwards and once backwards from the given masks; where both have a say, the one whose given mask is
        nearer counts more. Slices with a mask keep it. `report(done, total)` may raise to stop.
        """
        check_seeds(slices, seeds)
        shape = slices.shape[1:3]
        total, done = 2 * len(slices), 0
        sums, weights = np.zeros(slices.shape[:3], np.float32), np.zeros(len(slices), np.float32)
        for backwards in (False, True):
            for index, logits in self._follow(slices, seeds, backwards):
                weight = nearness(index, seeds, backwards)
                soft = torch.sigmoid(
                    F.interpolate(logits[None, None], shape, mode="bilinear", align_corners=False)
                )
                sums[index] += weight * soft[0, 0].numpy()
                weights[index] += weight
                done += 1
                report(done, total)
        found = np.asarray(sums / np.maximum(weights, 1e-6)[:, None, None], np.float32)
        for index, mask in seeds.items():
            found[index] = mask
        return found

    def _follow(
        self, slices: NDArray[np.uint8], seeds: Mapping[int, NDArray[np.bool_]], backwards: bool
    ) -> Iterator[tuple[int, Tensor]]:
        """(index, (h, w) logits) for the slices reached in this direction."""
        side, device = int(self.network.config.prompt_encoder_config.image_size), self.place.device
        video = torch.cat([normalised(image, side) for image in slices])
        session = self.make_session(
            video=video,
            video_height=slices.shape[1],
            video_width=slices.shape[2],
            inference_device=device,
            dtype=torch.float32,
        )
        for index, mask in seeds.items():
            square = F.interpolate(
                torch.from_numpy(mask).float()[None, None], (side, side), mode="bilinear", antialias=True
            )
            session.add_mask_inputs(session.obj_id_to_idx(1), index, (square >= 0.5).float())
            session.obj_with_new_inputs = [1]
            with torch.inference_mode():
                self.network(inference_session=session, frame_idx=index)
        start = max(seeds) if backwards else min(seeds)
        with torch.inference_mode():
            for answer in self.network.propagate_in_video_iterator(
                session, start_frame_idx=start, reverse=backwards
            ):
                yield answer.frame_idx, answer.pred_masks[0, 0].float().cpu()


def check_seeds(slices: NDArray[np.uint8], seeds: Mapping[int, NDArray[np.bool_]]) -> None:
    if slices.ndim != 4 or slices.shape[3] != 3 or slices.dtype != np.uint8:
        raise ValueError(f"slices must be (N, H, W, 3) uint8, got {slices.dtype} {slices.shape}")
    if not seeds:
        raise ValueError("label the object on at least one slice before following it through the others")
    for index, mask in seeds.items():
        if not 0 <= index < len(slices) or mask.shape != slices.shape[1:3]:
            raise ValueError(f"the mask of slice {index} is {mask.shape}, the stack {slices.shape[:3]}")


def nearness(index: int, seeds: Mapping[int, NDArray[np.bool_]], backwards: bool) -> float:
    """The say of one direction on a slice: falls with the distance to the last mask it came from."""
    behind = [seed for seed in seeds if (seed >= index if backwards else seed <= index)]
    return 1 / (1 + min(abs(index - seed) for seed in behind)) if behind else 0.0


def load_sam2(folder: Path | None, place: DevicePrecision | None = None) -> Sam2:
    """The image model out of a folder of weights; raises WrongFile where it is something else."""
    if folder is None:
        raise ValueError("SAM 2 needs a folder of weights: choose one")
    family, digest = look_into(folder)
    network = transformers_class(family + "Model").from_pretrained(folder, local_files_only=True)
    return Sam2(network, f"{family.lower()}-{digest}", place)


def load_propagator(folder: Path, place: DevicePrecision | None = None) -> Propagator:
    """The video model out of the same folder."""
    family, _ = look_into(folder)
    place = place or best_place()
    network = transformers_class(family + "VideoModel").from_pretrained(folder, local_files_only=True)
    return Propagator(
        network.to(place.device).eval(), transformers_class(family + "VideoInferenceSession"), place
    )


def look_into(folder: Path) -> tuple[str, str]:
    """The family of the weights in a folder and the digest of their file."""
    weights = folder / "model.safetensors"
    if not (folder / "config.json").is_file() or not weights.is_file():
        raise WrongFile(
            f"{folder.name} is not a folder with config.json and model.safetensors; "
            "download the model's folder from its Hugging Face page"
        )
    ensure_transformers()
    from transformers import PretrainedConfig

    kind = PretrainedConfig.get_config_dict(folder, local_files_only=True)[0].get("model_type", "unknown")
    if kind not in FAMILIES:
        raise WrongFile(
            f"{folder.name} holds a model of type {kind}, not SAM 2 or EdgeTAM; choose another folder"
        )
    return FAMILIES[kind], digest_of(weights)[:12]


def transformers_class(name: str) -> Any:
    """A class of the package, wherever this version keeps it."""
    ensure_transformers()
    import transformers
    from transformers.models.edgetam_video import modeling_edgetam_video
    from transformers.models.sam2_video import modeling_sam2_video

    for module in (transformers, modeling_sam2_video, modeling_edgetam_video):
        if hasattr(module, name):
            return getattr(module, name)
    raise ImportError(f"this version of transformers has no {name}; install transformers 5.23")


def ensure_transformers() -> None:
    """`transformers` looks for torchvision while it loads, and must find one that works."""
    ensure_torchvision()
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "SAM 2 needs the package transformers: pip install -r requirements-sam2.txt"
        ) from error
