"""A trained model as a bundle for MONAI: its configuration runs the app's own code, so that the masks are the same."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotator.learning.exporting.packing import PACKED, pack_code, write_requirements
from learners.spec import CARD

MODELS = "models"
SCRIPTS = Path(__file__).resolve().parents[1] / "exported" / "bundle_scripts.py"
MONAI = ("fire==0.7.1", "monai==1.6.1")  # as tried; `fire` reads the command line of monai.bundle
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
INFERENCE: dict[str, Any] = {
    "imports": ["$import torch"],
    "bundle_root": ".",
    "models_dir": f"$@bundle_root + '/{MODELS}'",
    "dataset_dir": "$@bundle_root + '/data'",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "group": "",
    "network_def": {"_target_": "scripts.network", "models": "@models_dir"},
    "dataset": {"_target_": "scripts.BundleImages", "data": "@dataset_dir"},
    "inferer": {
        "_target_": "scripts.BundleInferer",
        "models": "@models_dir",
        "device": "@device",
        "group": "@group",
    },
    "evaluator": {
        "_target_": "scripts.BundleRun",
        "dataset": "@dataset",
        "inferer": "@inferer",
        "output_dir": "@output_dir",
    },
    "run": ["$@evaluator.run()"],
}
README = """# {title}

{use}

## Predict
In this folder, in an environment with `pip install -r requirements.txt`:

```
python -m monai.bundle run --config_file configs/inference.json --dataset_dir IN --output_dir OUT
```

`IN` is an image file or a folder of them: NIfTI, DICOM series, TIFF, PNG. `OUT` gets a mask for each, on the grid of
its source. The masks are those of the app that trained the model: `scripts/` holds its own code for reading,
resampling, predicting in tiles and writing. No transform of MONAI is used. `--device "$torch.device('cpu')"` chooses
the device, and `--group NAME` the site or scanner where the model knows it.

`network_def` is the bare network. Its input is said in `configs/metadata.json` and in `models/{card}`.

## What it learned from
{learned}

## Limits
{limits}
"""


def make_bundle(folder: Path) -> None:
    """Around the files of an exported model that lie in `folder`/models."""
    card = json.loads((folder / MODELS / CARD).read_text(encoding="utf-8"))
    scripts = folder / "scripts"
    packages = write_requirements(folder, pack_code(scripts / PACKED), MONAI)
    shutil.copyfile(SCRIPTS, scripts / "__init__.py")
    for name, content in (("inference.json", INFERENCE), ("metadata.json", _metadata(card, packages))):
        _write(folder / "configs" / name, json.dumps(content, indent=1))
    _write(folder / "docs" / "README.md", _readme(card))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n" * (not text.endswith("\n")), encoding="utf-8")


def _metadata(card: dict[str, Any], packages: list[str]) -> dict[str, Any]:
    """As the schema of MONAI has it."""
    pins = dict(line.split("==") for line in packages if "==" in line)
    monai, torch, numpy = (pins.pop(name) for name in ("monai", "torch", "numpy"))
    classes = ", ".join(each["name"] for each in card["classes"])
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported on {card['exported_at']}"},
        "monai_version": monai,
        "pytorch_version": torch,
        "numpy_version": numpy,
        "required_packages_version": pins,
        "name": f"{card['learner']}: {classes}",
        "task": f"Segmentation of {classes}",
        "description": card["intended_use"],
        "authors": "the people of the project in which it was trained",
        "copyright": card["licence"],
        "intended_use": card["intended_use"],
        "network_data_format": _data_format(card),
    }


def _data_format(card: dict[str, Any]) -> dict[str, Any]:
    """What `network_def` takes and gives."""
    from learners.objects.scale import ObjectScale
    from models.networks import NetworkSpec

    spec = NetworkSpec.from_json(card["network"])
    colours = ("red", "green", "blue") if spec.channels == 3 else ("grey value",)
    told = card["objects"]
    apart = ObjectScale.from_json(told).channel_names if told else ()
    out = ("background", *(each["name"] for each in card["classes"]), *apart)
    low, high = card["normalisation"]["clip"]
    patch = {
        "type": "image",
        "spatial_shape": [f"{side}*n" for side in spec.multiple],
        "dtype": "float32",
        "is_patch_data": True,
    }
    image = {**patch, "format": "magnitude", "num_channels": spec.channels, "value_range": [low, high]}
    logits = {**patch, "format": "segmentation", "num_channels": len(out), "value_range": []}
    return {
        "inputs": {"image": {**image, "channel_def": _numbered(spec.named or colours)}},
        "outputs": {"pred": {**logits, "channel_def": _numbered(out)}},
    }


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(n): name for n, name in enumerate(names)}


def _readme(card: dict[str, Any]) -> str:
    data = card["training_data"]
    learned = (
        f"{data['images']} images with {data['labelled_slices']} labelled slices, "
        f"{data['annotator_minutes']} minutes of labelling."
    )
    if card["dice"] is not None:
        learned += f" Held-out Dice {card['dice']:.3f}."
    return README.format(
        title=f"{card['learner']}: {', '.join(each['name'] for each in card['classes'])}",
        use=card["intended_use"],
        card=CARD,
        learned=learned,
        limits="\n".join(f"- {line}" for line in card["limits"]),
    )
