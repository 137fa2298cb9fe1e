"""A trained network as ONNX for other programs, compared with PyTorch before anyone gets it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.networks import UNet

log = logging.getLogger(__name__)

CLOSE = 1e-3  # logits of the two runtimes may differ by this much
OPSET = 17


def write_onnx(network: "UNet", path: Path) -> tuple[float | None, str]:
    """The largest difference to PyTorch on another size than it was traced with, or why there is no file."""
    import numpy as np
    import torch

    spec = network.spec
    sides = [4 * m for m in spec.multiple]
    names = {0: "batch", **{i + 2: f"side{i}" for i in range(spec.dims)}}
    traced = torch.rand(1, spec.channels, *sides)
    try:
        _quietly_export(network, traced, path, {"image": names, "logits": names})
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        other = torch.rand(2, spec.channels, *(n + m for n, m in zip(sides, spec.multiple)))
        with torch.inference_mode():
            wanted = network(other).numpy()
        difference = float(np.abs(session.run(None, {"image": other.numpy()})[0] - wanted).max())
    except Exception as error:  # torch.onnx and onnxruntime raise types of their own
        path.unlink(missing_ok=True)
        log.warning("no ONNX file", exc_info=error)
        return None, f"ONNX could not be written ({type(error).__name__}); use the safetensors weights"
    if difference > CLOSE:
        path.unlink(missing_ok=True)
        return None, f"the ONNX file answered differently (by {difference:.2g}) and was left out"
    return difference, ""


def _quietly_export(network: "UNet", traced: Any, path: Path, axes: dict[str, dict[int, str]]) -> None:
    """The tracing exporter: it takes two seconds, the newer one half a minute and another package."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (traced,),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
