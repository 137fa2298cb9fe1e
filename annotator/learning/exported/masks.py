"""One scan through a model as a round of the app would do it: read, staged on disk, predicted tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers import kind_of_image
from learners.adapt.saved import SavedGroups, open_groups
from learners.prediction.predict import class_tiles
from learners.spec import Example
from learners.training.checkpoint import load_network, read_card
from learners.training.data import ImageReader
from learners.training.plan import Plan, plan_to_predict
from learners.training.targets import Classes
from models.networks import UNet
from storage.arrays import open_npy, write_npy
from storage.formats import Grid, grid_of_image, nifti, pictures
from storage.scan import Scan


@dataclass(frozen=True)
class TrainedModel:
    """An exported folder, opened."""

    network: UNet
    plan: Plan
    classes: Classes
    groups: SavedGroups | None = None
    adapted: dict[str, UNet] = field(default_factory=dict)  # by the files that `groups` names

    def network_for(self, example: Example) -> UNet:
        """The one that suits the image's group."""
        if self.groups is None:
            return self.network
        weights = self.groups.weights_for(open_npy(example.pixels), example.group)
        return self.network if weights is None else self.adapted[weights]


@dataclass(frozen=True)
class StagedScan:
    """A scan whose pixels lie on the disk and not in memory."""

    example: Example
    grid: Grid

    @property
    def suffix(self) -> str:
        """Of its mask's file."""
        picture = kind_of_image(self.example.shape[0], self.grid) == "picture"
        return ".png" if picture else ".nii.gz"


def open_model(folder: Path, device: str, adapted_in: Path | None = None) -> TrainedModel:
    """`adapted_in`: where the networks of groups lie, if not in the same folder. Raises ValueError for a damaged
    folder, and for a device that is not here."""
    card = read_card(folder)
    plan = plan_to_predict(card.network, card.brought_to_mm, device, card.rare)
    place = adapted_in or folder
    groups = open_groups(place)
    files = groups.files if groups else ()
    adapted = {file: load_network(folder, plan.device, place / file) for file in files}
    return TrainedModel(load_network(folder, plan.device), plan, Classes(card.class_ids), groups, adapted)


def stage(scan: Scan, folder: Path, group: str = "") -> StagedScan:
    """`folder` is empty and holds the pixels until it is removed."""
    write_npy(folder / "pixels.npy", scan.pixels)
    example = Example(0, folder / "pixels.npy", scan.shape, scan.channels, scan.spacing_mm, group=group)
    return StagedScan(example, grid_of_image(scan.geometry, scan.shape, scan.spacing_mm))


def mask_of(model: TrainedModel, scan: StagedScan, tell: Callable[[float], None]) -> NDArray[np.uint8]:
    """(Z, Y, X) label values in display order; `tell` hears the share that is done. Beside the mask no more than a
    tile is in memory."""
    mask, done, network = np.zeros(scan.example.shape, np.uint8), 0, model.network_for(scan.example)
    case = ImageReader(scan.example, model.classes, model.plan.network.channels)
    for core, values in class_tiles(network, case, model.plan, model.classes):
        mask[core] = values
        done += values.size
        tell(done / mask.size)
    return mask


def write_mask(path: Path, mask: NDArray[np.uint8], scan: StagedScan) -> None:
    """On the source file's own grid, as the app exports masks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if scan.suffix == ".png":
        pictures.write_labels(path, mask)
    else:
        nifti.write_labels(path, mask, scan.grid)
