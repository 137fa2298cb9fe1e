"""Adapted networks on disk, and which of them suits an image: by the group that people said, or by its looks."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from learners.adapt.groups import UNSAID, signature
from learners.training.bounded import read_json
from learners.training.data import ImageReader
from models.networks import UNet
from storage.arrays import open_npy, write_bytes

FILE = "adapted.json"


@dataclass(frozen=True)
class GroupNetwork:
    """One group of images. `weights`: the file of its network; None: the model itself serves it."""

    name: str
    weights: str | None
    centre: tuple[float, ...] | None  # of its images' signatures; None where groups were said


@dataclass(frozen=True)
class SavedGroups:
    """All groups of a round, also those that nothing was adapted to."""

    said: bool  # people named the groups; else they were found
    groups: tuple[GroupNetwork, ...]

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(group.weights for group in self.groups if group.weights)

    def weights_for(self, pixels: NDArray, said: str) -> str | None:
        """The file of the network for an image; None: the model itself, as for a group that came later."""
        named = {group.name: group.weights for group in self.groups}
        if said or self.said:
            return named.get(said or UNSAID)
        if len(self.groups) == 1:
            return self.groups[0].weights
        looks = signature(pixels)
        nearest = min(self.groups, key=lambda group: float(((looks - np.array(group.centre)) ** 2).sum()))
        return nearest.weights


def save_groups(
    folder: Path, groups: dict[int, str], networks: dict[int, UNet], cases: Sequence[ImageReader]
) -> None:
    """Weights first, then the list. `groups` and `networks` go by image."""
    said = any(case.example.group for case in cases)
    several, saved = len(set(groups.values())) > 1, []
    for number, name in enumerate(dict.fromkeys(groups.values())):
        mine = [case for case in cases if groups[case.example.image_id] == name]
        network = networks.get(mine[0].example.image_id)
        file = f"adapted-{number}.safetensors" if network is not None else None
        if network is not None and file is not None:
            state = network.state_dict().items()
            save_file({k: v.detach().cpu().contiguous() for k, v in state}, folder / file)
        looks = None if said or not several else _centre(mine)
        saved.append({"name": name, "weights": file, "centre": looks})
    content = json.dumps({"said": said, "groups": saved}, indent=1)
    write_bytes(folder / FILE, content.encode())


def open_groups(folder: Path) -> SavedGroups | None:
    """None where the model was adapted to no group. Raises ValueError for a damaged list."""
    if not (folder / FILE).exists():
        return None
    try:
        content = read_json(folder / FILE)
        groups = tuple(
            GroupNetwork(
                str(each["name"]),
                Path(each["weights"]).name if each["weights"] else None,
                tuple(float(v) for v in each["centre"]) if each["centre"] else None,
            )
            for each in content["groups"]
        )
        return SavedGroups(bool(content["said"]), groups)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{FILE} beside the model cannot be read ({error}); export it again") from error


def copy_groups(folder: Path, target: Path) -> None:
    """What `open_groups` and the networks need; nothing where nothing was adapted."""
    groups = open_groups(folder)
    for name in (*groups.files, FILE) if groups else ():
        shutil.copyfile(folder / name, target / name)


def _centre(cases: Sequence[ImageReader]) -> list[float]:
    looks = np.stack([signature(open_npy(case.example.pixels)) for case in cases])
    return [float(v) for v in looks.mean(0)]
