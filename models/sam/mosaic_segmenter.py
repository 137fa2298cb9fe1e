"""SAM without prompts, for classes: low-rank updates of a frozen encoder, and a decoder with a mask for each class.

After SAMed (Zhang and Liu, 2023) as SFR takes it up (IEEE TMI 2025). Starts as the checkpoint it is made from: the
updates are zero at first, and every class's mask token and layers are copies of the checkpoint's first ones.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RANK = 4


class LowRank(nn.Module):
    """A frozen (D, 3 D) layer for queries, keys and values, with updates of queries and values."""

    def __init__(self, layer: nn.Linear, rank: int = RANK) -> None:
        super().__init__()
        width = layer.in_features
        self.layer = layer
        self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(2))
        ups = [nn.Linear(rank, width, bias=False) for _ in range(2)]
        for up in ups:
            nn.init.zeros_(up.weight)
        self.up = nn.ModuleList(ups)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.layer(x).chunk(3, -1)
        return torch.cat([q + self.up[0](self.down[0](x)), k, v + self.up[1](self.down[1](x))], -1)


class MosaicSam(nn.Module):
    """(B, side, side) pictures in 0..1 to (B, K, side, side) logits. Raises ValueError for MobileSAM."""

    def __init__(self, sam: Any, classes: int) -> None:
        super().__init__()
        sam = copy.deepcopy(sam)
        blocks = getattr(sam.image_encoder, "blocks", None)
        if blocks is None or not all(hasattr(getattr(block, "attn", None), "qkv") for block in blocks):
            raise ValueError(
                "low-rank updates need SAM vit_b, vit_l or vit_h; choose one of their checkpoints"
            )
        sam.image_encoder.requires_grad_(False)
        for block in blocks:
            block.attn.qkv = LowRank(block.attn.qkv)
        decoder = sam.mask_decoder
        width = decoder.mask_tokens.weight.shape[1]
        tokens = nn.Embedding(classes, width)
        with torch.no_grad():  # a little apart, or all classes would learn the same
            tokens.weight.copy_(decoder.mask_tokens.weight[:1] + 0.02 * torch.randn(classes, width))
        decoder.mask_tokens = tokens
        first = decoder.output_hypernetworks_mlps[0]
        decoder.output_hypernetworks_mlps = nn.ModuleList(copy.deepcopy(first) for _ in range(classes))
        decoder.num_mask_tokens = classes
        decoder.iou_prediction_head.requires_grad_(False)  # nobody asks how good the masks are
        self.sam = sam

    @property
    def side(self) -> int:
        return int(self.sam.image_encoder.img_size)

    def learned(self) -> dict[str, Tensor]:
        """What differs from the checkpoint, by name."""
        wanted = {name for name, p in self.named_parameters() if p.requires_grad}
        return {name: value for name, value in self.state_dict().items() if name in wanted}

    def forward(self, pictures: Tensor) -> Tensor:
        sam = self.sam
        grey = pictures[:, None].expand(-1, 3, -1, -1)
        features = sam.image_encoder(sam.preprocess(grey * 255))
        sparse, dense = sam.prompt_encoder(points=None, boxes=None, masks=None)
        logits = [
            sam.mask_decoder.predict_masks(
                image_embeddings=one[None],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )[0]
            for one in features
        ]
        size = (self.side, self.side)
        return F.interpolate(torch.cat(logits), size, mode="bilinear", align_corners=False)
