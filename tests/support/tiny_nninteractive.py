"""nnInteractive's own server with a tiny network of random weights. Needs the package `nninteractive` (2.6)."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 120.0
UNET: dict[str, Any] = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * 2,
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
}
CONFIGURATION: dict[str, Any] = {
    "data_identifier": "none",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [32, 32, 32],
    "spacing": [1, 1, 1],
    "normalization_schemes": ["ZScoreNormalization"],
    "use_mask_for_norm": [False],
    "architecture": UNET,
}
PLANS: dict[str, Any] = {
    "dataset_name": "tiny",
    "plans_name": "tiny",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "label_manager": "LabelManager",
    "configurations": {"3d": CONFIGURATION},
}
DATASET = {"channel_names": {"0": "x"}, "labels": {"background": 0, "object": 1}, "file_ending": ".nii.gz"}
MAIN = "import sys; from nnInteractive.inference.server.main import main; sys.exit(main(sys.argv[1:]))"


def write_tiny_model(folder: Path) -> None:
    """A folder as the trainer leaves it."""
    import torch
    from nnInteractive.trainer.nnInteractiveTrainer import nnInteractiveTrainer_stub
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    (folder / "fold_0").mkdir(parents=True)
    for name, told in (("plans", PLANS), ("dataset", DATASET), ("inference_info", {})):
        (folder / f"{name}.json").write_text(json.dumps(told))
    torch.manual_seed(0)
    manager = PlansManager(PLANS)
    network = nnInteractiveTrainer_stub.build_network_architecture(
        manager, manager.get_configuration("3d"), 1 + 7, 2, False
    )
    saved = {
        "trainer_name": "nnInteractiveTrainer_stub",
        "init_args": {"configuration": "3d"},
        "network_weights": network.state_dict(),
    }
    torch.save(saved, folder / "fold_0" / "checkpoint_final.pth")


@contextmanager
def their_server(folder: Path, token: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its address, and the process; one session."""
    write_tiny_model(folder / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model-dir", str(folder / "model"), "--fold", "0", "--port", str(port)]
    options += ["--device", "cpu", "--torch-n-threads", "1", "--no-torch-compile", "--no-autozoom"]
    options += ["--max-sessions", "1", "--api-key", token, "--interactions-storage", "tensor"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while not answers(address) and time.monotonic() < end:
            time.sleep(0.1)
        yield address, process
    finally:
        process.kill()
        process.wait()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
