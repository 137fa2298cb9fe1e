"""Makes torchvision importable beside a CPU build of torch where only its CUDA wheel could be installed.

That wheel's compiled part needs CUDA libraries, so the operators it would register are missing and the import fails.
Declaring them first lets everything written in Python load; `segment_anything` needs no more than that.
"""

import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

_lock = threading.Lock()  # one thread at a time takes a half-imported torchvision away
_library: torch.library.Library | None = None


def ensure_torchvision() -> ModuleType:
    """The torchvision module; raises ImportError with the remedy where it is not installed."""
    with _lock:
        try:
            return import_module("torchvision")
        except ImportError as error:
            raise ImportError(
                "torchvision is missing; install the packages of requirements.txt again"
            ) from error
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            return _import_without_operators()


def _import_without_operators() -> ModuleType:
    """Import again with the two operators declared that torchvision looks up while it loads."""
    global _library
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", non_maximum_suppression, "CPU")
    _library = library  # the operators live as long as this object
    extension: Any = import_module("torchvision.extension")
    extension._has_ops = lambda: True
    return import_module("torchvision")


def non_maximum_suppression(
    boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Indices of the boxes kept, best first: (N, 4), (N,) -> (K,)."""
    x0, y0, x1, y1 = boxes_xyxy.unbind(1)
    area = (x1 - x0) * (y1 - y0)
    order = scores.argsort(descending=True, stable=True)
    kept: list[torch.Tensor] = []
    while order.numel():
        best, rest = order[0], order[1:]
        kept.append(best)
        across = (torch.minimum(x1[best], x1[rest]) - torch.maximum(x0[best], x0[rest])).clamp(min=0)
        down = (torch.minimum(y1[best], y1[rest]) - torch.maximum(y0[best], y0[rest])).clamp(min=0)
        shared = across * down
        order = rest[shared <= iou_threshold * (area[best] + area[rest] - shared)]
    return torch.stack(kept) if kept else scores.new_zeros(0, dtype=torch.int64)
