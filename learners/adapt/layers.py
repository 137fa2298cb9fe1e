"""The norm layers of a network: all that adapters but one ever change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = (_BatchNorm, nn.GroupNorm)


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def affine_of(network: nn.Module) -> list[nn.Parameter]:
    """Weights and biases of every norm; everything else is frozen, in place."""
    network.requires_grad_(False)
    found = [
        p for m in network.modules() if isinstance(m, NORMS) for p in (m.weight, m.bias) if p is not None
    ]
    for parameter in found:
        parameter.requires_grad_(True)
    return found


@contextmanager
def seeing_inputs(network: nn.Module, see: Callable[[_BatchNorm, Tensor], None]) -> Iterator[None]:
    """While inside, `see` is called with each batch norm and what comes in, just before it works on it."""
    hooks = [m.register_forward_pre_hook(lambda m, args: see(m, args[0])) for m in batch_norms(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) mean and variance over everything but the channels of (N, C, *S)."""
    axes = [0, *range(2, x.dim())]
    return x.mean(axes), x.var(axes, unbiased=False)


def forward_once(network: nn.Module, batch: Tensor) -> Tensor:
    network.eval()
    with torch.no_grad():
        return network(batch)
