"""Adapting affine weights of norms so that the network becomes surer: TENT, and DomainAdaptor's gentler losses.

TENT (Wang et al., ICLR 2021): entropy, Adam at 1e-3. DomainAdaptor (ICCV 2023): mixed statistics written as affine
weights, then plain SGD at 1e-3 on a generalised entropy whose temperature follows each answer's spread, so that sure
answers still pull. Changed: the loss counts objects, what lies around them and as much background, or background would
be all of it; with two classes the temperature is one per image, since per pixel it makes every answer equally sure.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from learners.adapt import AdaptationData
from learners.adapt.layers import affine_of, batch_norms
from learners.adapt.statistics import bn_adapt, transformed
from learners.give_way import give_way
from models.networks import UNet

STEPS = 10
TENT_RATE, GEM_RATE = 1e-3, 1e-3
AROUND = 10  # pixels around objects that the loss counts as well


def tent(network: UNet, scene: AdaptationData) -> UNet:
    """Batch statistics where there is batch norm, and affine weights with less entropy."""
    out = bn_adapt(network, scene) if batch_norms(network) else copy.deepcopy(network)
    optimiser = torch.optim.Adam(affine_of(out), lr=TENT_RATE, betas=(0.9, 0.999), weight_decay=0.0)
    return _tuned(out, scene, optimiser, entropy)


def domain_adaptor(network: UNet, scene: AdaptationData) -> UNet:
    """AdaMixBN, the statistic transformation, and one step of self-distillation for each batch."""
    out = transformed(network, scene) if batch_norms(network) else copy.deepcopy(network)
    optimiser = torch.optim.SGD(affine_of(out), lr=GEM_RATE)
    return _tuned(out, scene, optimiser, gem_skd)


def entropy(z: Tensor) -> Tensor:
    """(N, K, *S) logits to (N, *S) nats."""
    return -(z.softmax(1) * z.log_softmax(1)).sum(1)


def gem_t(z: Tensor) -> Tensor:
    """Entropy at each answer's own temperature, times its square: (N, *S). Degenerate with two classes."""
    centred, t = _centred(z)
    q = centred / t
    return -(t.squeeze(1) ** 2) * (q.softmax(1) * q.log_softmax(1)).sum(1)


def gem_skd(z: Tensor) -> Tensor:
    """The soft answer should say what the sharp one says: (N, *S)."""
    centred, t = _centred(z)
    return -(t.squeeze(1) ** 2) * (z.detach().softmax(1) * (centred / t).log_softmax(1)).sum(1)


def temperature(z: Tensor) -> Tensor:
    """Twice the spread over the classes, (N, 1, *S), no gradient; with two classes the mean of it over an image."""
    t = 2 * z.detach().std(1, keepdim=True)
    if z.shape[1] == 2:
        t = t.mean(tuple(range(1, t.dim())), keepdim=True).expand_as(t)
    return t.clamp_min(1e-3)


def counted(z: Tensor, rng: torch.Generator) -> Tensor:
    """(N, *S) bool: predicted objects, AROUND pixels around them, and as many others; everything where none is."""
    found = (z.detach().argmax(1) > 0).float()[:, None]
    pool = F.max_pool2d if z.dim() == 4 else F.max_pool3d
    near = pool(found, 2 * AROUND + 1, 1, AROUND)[:, 0] > 0
    count = int(near.sum())
    if not count or count == near.numel():
        return torch.ones_like(near)
    chance = torch.rand(near.shape, generator=rng).to(z.device)
    return near | (chance < count / (near.numel() - count))


def _centred(z: Tensor) -> tuple[Tensor, Tensor]:
    return z - z.detach().mean(1, keepdim=True), temperature(z)


def _tuned(network: UNet, scene: AdaptationData, optimiser: torch.optim.Optimizer, loss_of) -> UNet:
    """Statistics stay as they are from now on: the network is in eval mode while its affine weights move."""
    rng = torch.Generator().manual_seed(scene.seed)
    network.eval()
    for step in range(STEPS):
        give_way()
        z = network(scene.target[step % len(scene.target)]).float()
        loss = loss_of(z)[counted(z, rng)].mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return network.requires_grad_(False)
