"""Label shift: there may be much more or less of a class in new images than in those that the network learned from.

The head's answers are moved by how the shares of the classes changed (kappa of the log ratio); the new shares come from
expectation maximisation on the network's own answers (Saerens et al., 2002). Shares move by a factor of five at most:
without that, classes of a few pixels die out.
"""

import copy

import torch
from torch import Tensor

from learners.adapt import AdaptationData
from models.networks import UNet

KAPPA = 0.5
MAX_CHANGE = 5.0  # times more or less
ITERATIONS, ENOUGH = 20, 1e-4


def prior_shift(network: UNet, scene: AdaptationData) -> UNet:
    """A copy whose head's constants are moved."""
    out = copy.deepcopy(network).eval()
    source = torch.stack([_answers(network, batch).mean(0) for batch in scene.source]).mean(0)
    target = shares_by_em(torch.cat([_answers(network, batch) for batch in scene.target]), source)
    bias = out.head.bias
    assert bias is not None
    with torch.no_grad():
        bias.add_(KAPPA * (target.log() - source.log()))
    return out


def shares_by_em(p: Tensor, source: Tensor) -> Tensor:
    """(K,) shares of the classes in the target from (V, K) answers of a network that learned with `source` shares."""
    return em_path(p, source)[-1]


def em_path(p: Tensor, source: Tensor) -> list[Tensor]:
    """The shares after each iteration, the source's first."""
    source = source.clamp_min(1e-6) / source.clamp_min(1e-6).sum()
    path = [source]
    for _ in range(ITERATIONS):
        moved = p * (path[-1] / source)
        new = (moved / moved.sum(1, keepdim=True).clamp_min(1e-12)).mean(0)
        path.append(clamped(new, source))
        if float((path[-1] - path[-2]).abs().max()) < ENOUGH:
            break
    return path


def clamped(shares: Tensor, source: Tensor) -> Tensor:
    """No class more than MAX_CHANGE times as frequent or rare as in the source; they add up to 1."""
    held = torch.maximum(torch.minimum(shares, source * MAX_CHANGE), source / MAX_CHANGE)
    return held / held.sum()


def _answers(network: UNet, batch: Tensor) -> Tensor:
    """(V, K) probabilities of a batch's voxels."""
    network.eval()
    with torch.no_grad():
        p = network(batch).float().softmax(1)
    return p.movedim(1, -1).reshape(-1, p.shape[1])
