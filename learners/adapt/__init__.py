"""Test-time adaptation: a trained network changed for one kind of images, without their labels.

Importing this loads no torch. An adapter takes a copy of the network and gives it back changed, so that leaving the
adaptation is taking the network itself again: bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.lazy import LazyFunction

if TYPE_CHECKING:
    from torch import Tensor

    from models.networks import UNet

    Adapter = Callable[["UNet", "AdaptationData"], "UNet"]


AUTO = "auto"  # every adapter that can change the network; the best one is kept


@dataclass(frozen=True)
class AdaptationData:
    """What an adapter may look at: no labels, and nothing of the images that judge it."""

    target: "tuple[Tensor, ...]"  # batches (B, C, *S) of the images to adapt to
    source: "tuple[Tensor, ...]"  # of the images that the network learned from
    seed: int = 0


@dataclass(frozen=True)
class AdapterEntry:
    """An adapter that can be chosen."""

    title: str
    good_at: str
    adapt: "Adapter"
    batch_norm: bool = False  # changes nothing in a network without batch norm


ADAPTERS: dict[str, AdapterEntry] = {
    "bn_adapt": AdapterEntry(
        title="Batch statistics (BN-adapt)",
        good_at="another scanner or stain, for networks with batch norm",
        adapt=LazyFunction("learners.adapt.statistics:bn_adapt"),
        batch_norm=True,
    ),
    "ada_mix": AdapterEntry(
        title="Mixed statistics (AdaMixBN)",
        good_at="a slightly different scanner or stain, for networks with batch norm",
        adapt=LazyFunction("learners.adapt.statistics:ada_mix"),
        batch_norm=True,
    ),
    "tent": AdapterEntry(
        title="TENT (less entropy)",
        good_at="images on which the network is unsure but right; without batch norm it only tunes affine weights",
        adapt=LazyFunction("learners.adapt.entropy:tent"),
    ),
    "domain_adaptor": AdapterEntry(
        title="DomainAdaptor (mixed statistics, generalised entropy)",
        good_at="as TENT, but gentler where the network is sure; without batch norm it only tunes affine weights",
        adapt=LazyFunction("learners.adapt.entropy:domain_adaptor"),
    ),
    "prior": AdapterEntry(
        title="Label shift",
        good_at="images with much more or less of a class than the labelled ones; any network",
        adapt=LazyFunction("learners.adapt.prior:prior_shift"),
    ),
}
