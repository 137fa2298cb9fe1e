"""What configs/inference.json of a MONAI bundle names. The folder slicewise/ beside this file holds the app's own code.

Reading, predicting and writing are those of the app that trained the model, so that the masks are its own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.networks import UNet

CODE = Path(__file__).resolve().parent / "slicewise"
if CODE.is_dir():  # in a bundle, and not in the app itself
    sys.path.insert(0, str(CODE))


def network(models: str) -> "UNet":
    """The trained network as it is: logits of patches whose values and spacing are those of its training."""
    from learners.training.checkpoint import load_network

    return load_network(Path(models))


class BundleImages:
    """Image files and folders of them, also DICOM, as the dataset of the bundle."""

    def __init__(self, data: str | Sequence[str]) -> None:
        self.data = [Path(path) for path in ([data] if isinstance(data, str) else data)]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Path:
        return self.data[index]


class BundleInferer:
    """The whole model: networks, resampling, tiles and mending."""

    def __init__(self, models: str, device: Any, group: str = "") -> None:
        """`device`: a torch device or its name. Raises ValueError where the model is damaged or does not know this
        group of images."""
        from annotator.learning.exported.masks import open_model
        from annotator.learning.exported.program import wrong_group

        self.model, self.group = open_model(Path(models), str(device).partition(":")[0]), group
        if group and (refusal := wrong_group(self.model, group)):
            raise ValueError(refusal)


class BundleRun:
    """Writes a mask for every image of the dataset."""

    def __init__(self, dataset: BundleImages, inferer: BundleInferer, output_dir: str) -> None:
        from annotator.learning.exported.program import Run

        self.dataset, self._run = dataset, Run(inferer.model, Path(output_dir), inferer.group)

    def run(self) -> None:
        """Exits with 1 where an image was refused; the others have their masks."""
        if self._run.predict(self.dataset.data):
            sys.exit(1)
