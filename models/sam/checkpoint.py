"""Opening a checkpoint somebody gave us: what is in the file, and a plain sentence where it is not what we can use."""

import hashlib
import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

StateDict = dict[str, Tensor]

# Width of the transformer -> name of the original SAM.
SAM_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
# Width and number of blocks of Hiera -> name of SAM 2 and 2.1.
HIERA_SIZES = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base+", (144, 48): "large"}


class WrongFile(ValueError):
    """The file is not weights that this model can use; the message says what it is."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file and what they are."""

    state: StateDict
    kind: str  # "vit_b", "vit_l", "vit_h", "vit_t", or a description of something else
    digest: str  # first 12 hex digits of the file's sha256

    @property
    def is_sam(self) -> bool:
        return self.kind in (*SAM_WIDTHS.values(), "vit_t")


def open_checkpoint(path: Path) -> Checkpoint:
    """Read weights only, never code; raises WrongFile or FileNotFoundError."""
    refuse_what_is_no_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise WrongFile(
                f"{path.name} holds more than weights (it would run code when opened); "
                "ask for a file with the state dict alone"
            ) from error
        raise WrongFile(f"{path.name} is damaged or cut short; download it again") from error
    state = plain_state(content)
    if not state:
        raise WrongFile(f"{path.name} holds no network weights; choose a SAM checkpoint (.pth or .pt)")
    return Checkpoint(state, kind_of(state), digest_of(path)[:12])


def refuse_what_is_no_checkpoint(path: Path) -> None:
    """Tell by the first bytes what a file is that torch would only stumble over."""
    if path.is_dir():
        raise WrongFile(f"{path.name} is a folder; choose the .pth or .pt file in it")
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(512)
    if size == 0:
        raise WrongFile(f"{path.name} is empty; download it again")
    if head.lstrip()[:1] == b"<":
        raise WrongFile(f"{path.name} is a web page, not weights; download the file itself")
    if head.startswith(b"version https://git-lfs"):
        raise WrongFile(f"{path.name} is a Git LFS pointer, not weights; fetch the file with `git lfs pull`")
    if head.startswith(b"PK"):
        refuse_foreign_zip(path, size)
    elif head[8:9] == b"{":
        raise WrongFile(f"{path.name} is a safetensors file; this model reads the original .pth or .pt file")
    elif not head.startswith(b"\x80"):
        raise WrongFile(f"{path.name} ({size} bytes) is not a PyTorch checkpoint; choose a .pth or .pt file")


def refuse_foreign_zip(path: Path, size: int) -> None:
    """A checkpoint is a zip with data.pkl in it; a cut one has lost the list of its members."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise WrongFile(f"{path.name} is cut short at {size} bytes; download it again") from error
    if not any(name.endswith("data.pkl") for name in names):
        inside = ", ".join(names[:3]) or "nothing"
        raise WrongFile(f"{path.name} is a zip archive with {inside} in it; unpack it and choose the weights")


def plain_state(content: object) -> StateDict:
    """The state dict itself, out of the wrappers and prefixes that training code puts around it."""
    while isinstance(content, dict):
        inner = next((content[key] for key in ("model_state", "model", "state_dict") if key in content), None)
        if not isinstance(inner, dict):
            break
        content = inner
    if not isinstance(content, dict):
        return {}
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in ("module.", "sam_model.", "sam."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def kind_of(state: StateDict) -> str:
    """Which network these tensors belong to, told by names and shapes."""
    names = state.keys()
    if "image_encoder.patch_embed.seq.0.c.weight" in names:
        return "vit_t"
    if any(name.startswith("mask_decoder.hf_") for name in names):
        return "SAM-HQ"
    if "image_encoder.pos_embed" in names and "prompt_encoder.no_mask_embed.weight" in names:
        width, blocks = (
            state["image_encoder.pos_embed"].shape[-1],
            count_blocks(state, "image_encoder.blocks"),
        )
        return SAM_WIDTHS.get(width, f"a SAM variant of width {width} with {blocks} blocks")
    if any(name.startswith("vision_encoder.") for name in names):
        return "a SAM model in the Hugging Face layout"
    return kind_of_video_model(state)


def kind_of_video_model(state: StateDict) -> str:
    """SAM 2, EdgeTAM, or a file we do not know."""
    names = state.keys()
    if "image_encoder.trunk.patch_embed.proj.weight" in names:
        width = state["image_encoder.trunk.patch_embed.proj.weight"].shape[0]
        version = "SAM 2.1" if "no_obj_embed_spatial" in names else "SAM 2"
        size = HIERA_SIZES.get((width, count_blocks(state, "image_encoder.trunk.blocks")), "of unknown size")
        return f"{version} {size}"
    if any(name.startswith("spatial_perceiver.") for name in names):
        return "EdgeTAM"
    first = ", ".join(list(names)[:2])
    return f"a network of another kind ({len(names)} tensors: {first}, ...)"


def count_blocks(state: StateDict, prefix: str) -> int:
    found = (re.match(re.escape(prefix) + r"\.(\d+)\.", name) for name in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def digest_of(path: Path) -> str:
    """sha256 of a file, 64 hex digits; about a second for 400 MB."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
