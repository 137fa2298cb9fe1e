"""A tuned copy of the network's late layers: a small file that belongs to one version of the weights.

Importing this loads no torch, so that a project can tell what it has before anybody clicks.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    import torch

WEIGHTS = Path(__file__).with_name("weights.safetensors")
LATE = ("lateral.", "up.", "detail.", "widen.", "refine.", "out.", "score.")  # everything behind the encoder
BASE = "base"  # where a file says which weights it was tuned from


def digest(data: bytes) -> str:
    """The name of a file's content in model ids."""
    return hashlib.sha256(data).hexdigest()[:16]


def is_late(name: str) -> bool:
    return name.startswith(LATE)


def belongs(adapter: Path, weights: Path = WEIGHTS) -> bool:
    """Whether this file is there and was tuned from these weights."""
    try:
        return _base_of(adapter) == digest(weights.read_bytes())
    except (OSError, SafetensorError):
        return False


def adapter_bytes(late: "dict[str, torch.Tensor]", base: str) -> bytes:
    """The late layers as safetensors: kernels in half precision, as in the shipped file."""
    from safetensors.torch import save

    return save(halved(late), metadata={BASE: base})


def halved(state: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Kernels in half precision; biases and norms, a hundredth of the file, keep theirs."""
    kept = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    return {name: value.contiguous() for name, value in kept.items()}


def read_adapter(path: Path, base: str) -> "dict[str, torch.Tensor]":
    """The late layers of a file that was tuned from these weights. Raises ValueError where it was not."""
    try:
        with safe_open(path, "pt") as file:
            late = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  no mapping
        tuned_from = _base_of(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"the tuned layers {path.name} cannot be read; tune the model again") from error
    if tuned_from != base:
        raise ValueError("the tuned layers belong to another version of the built-in model; tune it again")
    if not late or not all(map(is_late, late)):
        raise ValueError(f"{path.name} holds no tuned layers of the built-in model; tune it again")
    return late


def _base_of(adapter: Path) -> str | None:
    with safe_open(adapter, "np") as file:
        return (file.metadata() or {}).get(BASE)
