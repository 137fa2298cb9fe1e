"""The genuine networks of the SAM family, small and with random weights: all but knowledge; and a model with a gate."""

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from models.prompt import Embedding, MaskPrediction, Prompts
from models.sam.model import DevicePrecision, SamModel
from models.sam.torchvision_cpu import ensure_torchvision

if TYPE_CHECKING:
    from models.sam.sam2 import Propagator

CPU = DevicePrecision(torch.device("cpu"), torch.float32)
SIDE = 128
GRIDS = [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2]
TINY = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8, "num_attention_heads": 1, "image_size": [SIDE, SIDE],
            "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 2, 4, 8], "global_attention_blocks": [3],
            "window_positional_embedding_background_size": [4, 4],
        },
        "model_type": "sam2_vision_model",
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": GRIDS,
        "fpn_hidden_size": 128,
    },
    "prompt_encoder_config": {"hidden_size": 128, "image_size": SIDE},
    "mask_decoder_config": {"hidden_size": 128, "mlp_dim": 32, "iou_head_hidden_dim": 32},
}  # fmt: skip
MEMORY = {
    "image_size": SIDE, "memory_attention_hidden_size": 128, "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32, "memory_attention_rope_feat_sizes": GRIDS[2],
    "memory_encoder_hidden_size": 128, "memory_encoder_output_channels": 64, "mask_downsampler_embed_dim": 128,
    "memory_fuser_embed_dim": 128, "memory_fuser_intermediate_dim": 32, "num_maskmem": 3,
}  # fmt: skip


class OwnChance(TorchFunctionMode):
    """Random weights of this thread alone: torch's one generator is everybody's, and a network that another thread
    opens meanwhile takes numbers out of the row."""

    DRAWS = frozenset(
        {"randn", "rand", "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_"}
    )

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._row = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = {"generator": self._row} if func.__name__ in self.DRAWS else {}
        return func(*args, **{**(kwargs or {}), **own})


def small_sam(seed: int = 7) -> Any:
    """A `Sam` of the genuine, untyped classes at 128 pixels: two blocks of 32 channels, decoder at full width."""
    ensure_torchvision()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    grid = (SIDE // 16, SIDE // 16)
    with OwnChance(seed):
        encoder = ImageEncoderViT(
            img_size=SIDE, embed_dim=32, depth=2, num_heads=2, out_chans=256, use_rel_pos=True, window_size=3,
            global_attn_indexes=(1,), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        )  # fmt: skip
        prompts = PromptEncoder(
            embed_dim=256, image_embedding_size=grid, input_image_size=(SIDE, SIDE), mask_in_chans=16
        )
        decoder = MaskDecoder(
            transformer_dim=256,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=64, num_heads=8),
        )
    return Sam(encoder, prompts, decoder).eval()


def tiny_sam(path: Path | None = None) -> SamModel:
    """The small SAM as a prompt model, the same in every process, whatever file it is said to come from."""
    return SamModel(small_sam(), "tiny", CPU)


@dataclass(frozen=True)
class GatedModel:
    """Says in a folder which process encodes, and waits for a file there before it does."""

    folder: Path
    model_id: str = "gated"

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        (self.folder / f"{image[0, 0, 0]}.at-{os.getpid()}").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.02)
        return Embedding(self.model_id, image.shape[:2], {"pid": np.array([os.getpid()])})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        raise NotImplementedError


def small_sam2() -> Any:
    """The `Sam2Model` of `transformers`, which is loaded by name; needs that package."""
    from models.sam.sam2 import ensure_transformers, transformers_class

    ensure_transformers()
    with OwnChance(3):
        return transformers_class("Sam2Model")(transformers_class("Sam2Config")(**TINY)).eval()


def small_tracker() -> "Propagator":
    """SAM 2.1 for video, as a tracker that says of every object that it is there; needs `transformers`."""
    from models.sam.sam2 import Propagator, ensure_transformers, transformers_class

    ensure_transformers()
    config = transformers_class("Sam2VideoConfig")(**TINY, **MEMORY)
    with OwnChance(4):
        network = transformers_class("Sam2VideoModel")(config).eval()
    with torch.no_grad():  # or a random network would say that the object is nowhere
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(20)
    return Propagator(network, transformers_class("Sam2VideoInferenceSession"), CPU)
