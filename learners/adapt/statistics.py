"""Adapting what batch norms take for the usual mean and spread. Networks without batch norm come back unchanged.

BN-adapt: the target's own statistics. AdaMixBN (DomainAdaptor, ICCV 2023): per layer as much of the source's as the
target's batch looks like them. Both end as ordinary running statistics, so that every later tile of the group is
normalised alike.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from learners.adapt import AdaptationData
from learners.adapt.layers import forward_once, moments, seeing_inputs
from models.networks import UNet


def bn_adapt(network: UNet, scene: AdaptationData) -> UNet:
    """Every batch norm with the statistics of the target."""
    return _with_statistics(network, scene, _take)


def ada_mix(network: UNet, scene: AdaptationData) -> UNet:
    """Every batch norm with mixed statistics."""
    return _with_statistics(network, scene, _mix)


def transformed(network: UNet, scene: AdaptationData) -> UNet:
    """As `ada_mix`, written as the target's statistics with other affine weights, which can then be trained."""
    return _with_statistics(network, scene, _transform)


def share_of_source(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """AdaMixBN's lambda, one number: 1 where the batch is like the source, 0.5 for a batch of one that is not."""
    axes = tuple(range(2, x.dim()))
    i_mean, i_spread = x.mean(axes), x.var(axes, unbiased=False).sqrt()
    t_mean, t_variance = moments(x)
    t_spread, s_spread = t_variance.sqrt(), variance.sqrt()
    st = _apart(mean, s_spread, t_mean, t_spread)
    each = [_apart(m, s, mean, s_spread) + _apart(m, s, t_mean, t_spread) for m, s in zip(i_mean, i_spread)]
    whole = st + torch.stack(each)
    shares = torch.where(whole > 0, 1 - st / whole.clamp_min(1e-12), torch.ones_like(whole))
    return shares.clamp(0, 1).mean()


def _with_statistics(
    network: UNet, scene: AdaptationData, change: Callable[[_BatchNorm, Tensor], None]
) -> UNet:
    """Layer after layer in one pass: each sees what the layers below, already changed, make of the target."""
    out = copy.deepcopy(network)
    with torch.no_grad(), seeing_inputs(out, change):
        forward_once(out, torch.cat(scene.target))
    return out


def _take(norm: _BatchNorm, x: Tensor) -> None:
    mean, variance = moments(x)
    norm.running_mean, norm.running_var = mean, variance


def _mix(norm: _BatchNorm, x: Tensor) -> None:
    s_mean, s_variance = _running(norm)
    t_mean, t_variance = moments(x)
    lam = share_of_source(x, s_mean, s_variance)
    norm.running_mean = lam * s_mean + (1 - lam) * t_mean
    norm.running_var = lam * s_variance + (1 - lam) * t_variance  # variances are mixed, not spreads


def _transform(norm: _BatchNorm, x: Tensor) -> None:
    s_mean, s_variance = _running(norm)
    t_mean, t_variance = moments(x)
    lam = share_of_source(x, s_mean, s_variance)
    mixed = lam * s_variance + (1 - lam) * t_variance
    weight = norm.weight * ((t_variance + norm.eps) / (mixed + norm.eps)).sqrt()
    norm.bias.copy_(norm.bias + weight * lam * (t_mean - s_mean) / (t_variance + norm.eps).sqrt())
    norm.weight.copy_(weight)
    norm.running_mean, norm.running_var = t_mean, t_variance


def _running(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def _apart(mean_a: Tensor, spread_a: Tensor, mean_b: Tensor, spread_b: Tensor) -> Tensor:
    return ((mean_a - mean_b) ** 2).mean() + ((spread_a - spread_b) ** 2).mean()
