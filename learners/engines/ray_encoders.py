"""Encoders of prompt models on Ray: actors that hold a model and turn pictures into embeddings.

What travels: how the model is loaded (a function of ours and the path of its weights), pictures, and embeddings.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.engines.ray_cluster import RayCluster, encoding, machines, result_of
from learners.engines.worker_process import lower_process_priority
from models.prompt import Embedding, PromptModel

ModelLoader = Callable[[], PromptModel]

LIVES = 3  # restarts of an actor, by Ray; then there is something wrong that another will not mend


class RayEncoder:
    """One actor. Ray starts it again where it dies; what it was at is lost with it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin(self) -> None:
        """Wait until it is there and has its model: seconds, and longer where no GPU is free. Raises what loading
        raises, RuntimeError where it has died too often or was ended."""
        try:
            result_of(self._actor.begin.options(max_task_retries=-1).remote())
        except BrokenExecutor as error:
            raise RuntimeError(f"it died more than {LIVES} times, or was ended: {error}") from error

    def encode(self, picture: NDArray[np.uint8]) -> Embedding:
        """Raises BrokenExecutor where it dies meanwhile, else what the model raises."""
        made: Embedding = result_of(self._actor.encode.remote(picture))
        # Copied: what Ray gives are views into its store, which they would keep full, and which ends before we do.
        own = {name: np.array(array) for name, array in made.arrays.items()}
        return Embedding(made.model_id, made.shape, own)


class RayEncoders:
    """Actors of one model at a time: one GPU each where the cluster has any. Ray starts with the first `start`."""

    def __init__(self, address: str | None = None, threads: int | None = None) -> None:
        self._cluster = RayCluster(address, threads or max(1, (os.cpu_count() or 2) - 1))
        self._lock = threading.Lock()  # protects _actors; a leaf
        self._actors: list[Any] = []

    def start(self, load: ModelLoader, model_id: str) -> list[RayEncoder]:
        """In place of those before; they come up by and by. Raises ValueError where Ray does not start."""
        import ray

        self.stop()
        self._cluster.start()
        room = encoding(machines())
        remote = ray.remote(_Encoder).options(
            num_cpus=0,
            num_gpus=room.gpus,
            max_restarts=LIVES,
            max_task_retries=0,  # a picture may be what it died of: who asked decides
            scheduling_strategy="SPREAD",
        )
        actors = [remote.remote(load, model_id) for _ in range(room.count)]
        with self._lock:
            self._actors = actors
        return [RayEncoder(actor) for actor in actors]

    def stop(self) -> None:
        """End the actors at once, whatever they do."""
        with self._lock:
            actors, self._actors = self._actors, []
        if actors:
            import ray

            for actor in actors:
                ray.kill(actor)

    def close(self) -> None:
        """End them, and Ray where nothing else needs it."""
        self.stop()
        self._cluster.end()


class _Encoder:
    """In the worker. Made without a model, so that what loading it raises comes back as it is."""

    def __init__(self, load: ModelLoader, model_id: str) -> None:
        self._load, self._model_id = load, model_id
        self._model: PromptModel | None = None

    def begin(self) -> None:
        """Called again after a death, in the process that came after it."""
        if self._model is None:
            lower_process_priority(max(1, (os.cpu_count() or 2) - 1))
            self._model = under_the_name(self._load(), self._model_id)

    def encode(self, picture: NDArray[np.uint8]) -> Embedding:
        self.begin()
        assert self._model is not None
        return self._model.encode(picture)


def under_the_name(model: PromptModel, model_id: str) -> PromptModel:
    """As the server calls it: its hardware may have another precision than this one's. Raises ValueError where it is
    another model, such as from another file under the same path."""
    if model.model_id == model_id:
        return model
    renamed = getattr(model, "in_precision_of", None)
    if renamed is None:
        raise ValueError(
            f"this machine loads {model.model_id}, the server {model_id}; give both the same weights"
        )
    return renamed(model_id)
