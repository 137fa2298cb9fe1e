"""From a slice and prompts to a mask: windowing, the chosen model, and who answers while it is not ready."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.render import to_rgb
from models import PROMPT_MODELS
from models.prompt import MaskPrediction, PromptModel, Prompts
from storage.arrays import SliceRef, plane
from storage.store import Store

INSTANT = "graphcut"  # answers at once and needs nothing
KEEP_SLICES = 8

Key = tuple[SliceRef, tuple[float, float]]


@dataclass(frozen=True)
class Answer:
    prediction: MaskPrediction
    model: str  # the name of the one that answered


class Prompting:
    """Thread-safe."""

    def __init__(self, store: Store, model: str | None = None) -> None:
        self._store = store
        self._lock = threading.Lock()  # protects the two caches and the choice; a leaf
        self._models: dict[str, PromptModel] = {}
        self._slices: OrderedDict[Key, NDArray[np.uint8]] = OrderedDict()
        self._chosen = INSTANT
        self.choose(model or store.setting("prompt_model") or INSTANT)

    def close(self) -> None:
        """Nothing runs in the background for models that answer at once."""

    def predict(self, ref: SliceRef, window: tuple[float, float], prompts: Prompts) -> Answer:
        """Masks for the prompts on a slice shown with this window. Raises ValueError, LookupError, TornFile."""
        name = self._chosen
        model = self._model(name)
        return Answer(model.predict(model.encode(self._rgb(ref, window)), prompts), name)

    def look(self, ref: SliceRef, window: tuple[float, float], direction: int) -> None:
        """This slice is open now; the next click will be here."""
        self._rgb(ref, window)

    def choose(self, name: str) -> None:
        """Raises LookupError for an unknown model."""
        if name not in PROMPT_MODELS:
            raise LookupError(f"there is no prompt model {name!r}; there are: {', '.join(PROMPT_MODELS)}")
        self._chosen = name

    def models(self) -> list[dict[str, Any]]:
        return list_models(self._chosen)

    def answering(self) -> dict[str, Any]:
        return {"name": self._chosen, "answering": PROMPT_MODELS[self._chosen].title, "why": ""}

    def _model(self, name: str) -> PromptModel:
        with self._lock:
            if name not in self._models:
                self._models[name] = PROMPT_MODELS[name].factory(None)
            return self._models[name]

    def _rgb(self, ref: SliceRef, window: tuple[float, float]) -> NDArray[np.uint8]:
        key = (ref, window)
        with self._lock:
            if key in self._slices:
                self._slices.move_to_end(key)
                return self._slices[key]
        rgb = to_rgb(plane(self._store.pixels(ref.image_id), ref.axis, ref.index), window)
        with self._lock:
            self._slices[key] = rgb
            while len(self._slices) > KEEP_SLICES:
                self._slices.popitem(last=False)
        return rgb


def list_models(chosen: str | None = None) -> list[dict[str, Any]]:
    """Every prompt model with its state, for the page and the command line."""
    return [
        {"name": name, "title": e.title, "state": "ready", "detail": e.good_at, "active": name == chosen}
        for name, e in PROMPT_MODELS.items()
    ]
