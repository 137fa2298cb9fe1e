"""The loss of depth and nearness: cross-entropy with soft targets, where they are known."""

import torch.nn.functional as F
from torch import Tensor

from learners.training.losses import Sample

INSIDE = 3.0  # voxels of background that one of an object outweighs: most of a picture is background


def apart_loss(answer: Tensor, sample: Sample) -> Tensor:
    """(B, 2, *S) before the sigmoid; 0 where nothing is known of objects."""
    if sample.apart is None:
        return answer.new_zeros(())
    wanted, known = sample.apart.chunk(2, 1)
    weight = known * (1 + (INSIDE - 1) * (wanted > 0))
    each = F.binary_cross_entropy_with_logits(answer.float(), wanted, reduction="none")
    return (each * weight).sum() / weight.sum().clamp_min(1)
