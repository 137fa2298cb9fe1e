"""One scan through a model as a round of the app would do it: read, staged on disk, predicted tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.writers import kind_of_image
from learners.adapt.saved import SavedGroups, open_groups
from learners.final.opened import opened
from learners.prediction.committee import Committee
from learners.prediction.label_guards import LabelGuards, read_guards
from learners.prediction.predict import class_tiles, predicted
from learners.prediction.reasons import Reason
from learners.spec import Example, NamedChannel
from learners.training.checkpoint import load_network, plan_of_card, read_card
from learners.training.data import ImageReader
from learners.training.plan import Plan
from learners.training.targets import Classes
from models.networks import UNet
from storage.arrays import open_npy, write_npy
from storage.formats import FileRefused, Grid, grid_of_image, nifti, pictures
from storage.scan import Scan

INSTANCES = "_instances"  # object numbers lie beside the classes, as in the app's own exports


@dataclass(frozen=True)
class TrainedModel:
    """An exported folder, opened."""

    network: UNet | Committee
    plan: Plan
    classes: Classes
    groups: SavedGroups | None = None
    adapted: dict[str, UNet] = field(default_factory=dict)  # by the files that `groups` names
    guards: LabelGuards | None = None  # against masks that cannot make sense

    def network_for(self, example: Example) -> UNet | Committee:
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


def open_model(folder: Path, device: str, last_round: Path | None = None) -> TrainedModel:
    """`last_round`: where the networks of groups and the guards lie, if not in the same folder. Raises ValueError for a
    damaged folder, and for a device that is not here."""
    card, place = read_card(folder), last_round or folder
    guards = read_guards(place)
    if card.final is not None:
        model = opened(folder, device)
        return TrainedModel(model.network, model.plan, model.classes, guards=guards)
    plan = plan_of_card(card, device)
    groups = open_groups(place)
    files = groups.files if groups else ()
    adapted = {file: load_network(folder, plan.device, place / file) for file in files}
    network, classes = load_network(folder, plan.device), Classes(card.class_ids)
    return TrainedModel(network, plan, classes, groups, adapted, guards)


def stage(scan: Scan, folder: Path, group: str = "") -> StagedScan:
    """`folder` is empty and holds the pixels until it is removed."""
    write_npy(folder / "pixels.npy", scan.pixels)
    named = []
    for number, channel in enumerate(scan.measured):
        named.append(NamedChannel(channel.name, folder / f"channel{number}.npy"))
        write_npy(named[-1].pixels, channel.values)
    example = Example(
        0,
        folder / "pixels.npy",
        scan.shape,
        scan.channels,
        scan.spacing_mm,
        group=group,
        named=tuple(named),
    )
    return StagedScan(example, grid_of_image(scan.geometry, scan.shape, scan.spacing_mm))


@dataclass(frozen=True)
class PredictedMask:
    """What a model makes of a scan, (Z, Y, X) in display order."""

    values: NDArray[np.uint8]  # label values
    numbers: NDArray[np.uint16] | None = None  # of objects, where the model tells them apart
    withheld: Reason | None = None  # why the app would show it to nobody, as far as the exported guards tell


def mask_of(model: TrainedModel, scan: StagedScan, tell: Callable[[float], None]) -> PredictedMask:
    """`tell` hears the share that is done. Beside the mask no more than a tile is in memory, but where objects are told
    apart: that needs seven bytes more for every voxel."""
    network = model.network_for(scan.example)
    seen = model.plan.network
    if seen.named and not set(seen.named) & {channel.name for channel in scan.example.named}:
        raise FileRefused(
            f"it has none of the channels that the model learned ({', '.join(seen.named)}); give its files "
            "together, with a channels.csv that names them"
        )
    case = ImageReader(scan.example, model.classes, seen.channels, seen.named)
    if model.plan.objects is not None:
        found = predicted(network, case, model.plan, model.classes)
        tell(1.0)
        return _guarded(model, case, PredictedMask(found.values, found.numbers))
    mask, done = np.zeros(scan.example.shape, np.uint8), 0
    for core, values in class_tiles(network, case, model.plan, model.classes):
        mask[core] = values
        done += values.size
        tell(done / mask.size)
    return _guarded(model, case, PredictedMask(mask))


def _guarded(model: TrainedModel, case: ImageReader, mask: PredictedMask) -> PredictedMask:
    return mask if model.guards is None else replace(mask, withheld=model.guards.against(case, mask.values))


def write_mask(path: Path, mask: PredictedMask, scan: StagedScan) -> None:
    """On the source file's own grid, as the app exports masks; object numbers in a file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, mask.values, scan)
    if mask.numbers is not None:
        name = path.name.removesuffix(scan.suffix)
        _write(path.with_name(f"{name}{INSTANCES}{scan.suffix}"), mask.numbers, scan)


def _write(path: Path, labels: NDArray[np.unsignedinteger], scan: StagedScan) -> None:
    if scan.suffix == ".png":
        pictures.write_labels(path, labels)
    else:
        nifti.write_labels(path, labels, scan.grid)
