"""What the choice of a learner looks at."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from annotator.learning.quality.model_quality import model_quality
from annotator.learning.settings import LearnSettings
from annotator.machine import has_gpu
from learners import LEARNERS
from learners.choice import ProjectSummary
from storage.arrays import TornFile, open_npy
from storage.rounds import Rounds
from storage.store import Store

LOOKED_AT = 6  # volumes, to see whether all show the same anatomy
SIDE = 24  # voxels of each side for that
ALIKE = 0.4  # median correlation of two volumes as they lie


def summarize_project(store: Store, rounds: Rounds, settings: LearnSettings) -> ProjectSummary:
    total, rows = store.images(limit=-1)
    kinds = rounds.label_kinds()
    best = [quality.dice for name in LEARNERS if (quality := model_quality(store, name)) is not None]
    return ProjectSummary(
        images=total,
        volumes=sum(row.is_volume for row in rows),
        labelled=len(rounds.labelled_images()),
        complete_slices=kinds["complete"],
        drawn=kinds["patch"],
        boxes=kinds["boxes"],
        numbered=kinds["numbered"],
        tags=kinds["tags"],
        alike=volumes_look_alike(tuple(row.path for row in rows if row.is_volume)),
        has_gpu=settings.device != "cpu" and has_gpu(),
        dice=max(best, default=None),
    )


def volumes_look_alike(volumes: tuple[Path, ...]) -> bool:
    """Whether volumes show the same in about the same place, so that labels can be carried from one to the others."""
    step = max(1, len(volumes) // LOOKED_AT)
    return _alike(volumes[::step][:LOOKED_AT])


@lru_cache(maxsize=16)
def _alike(volumes: tuple[Path, ...]) -> bool:
    try:
        rows = [_small(path) for path in volumes]
    except TornFile:
        return False
    if len(rows) < 2:
        return False
    pairs = np.corrcoef(np.stack(rows))[np.triu_indices(len(rows), 1)]
    return bool(np.median(np.nan_to_num(pairs)) >= ALIKE)


def _small(path: Path) -> np.ndarray:
    """(SIDE**3 / 8,) brightness of a volume on a coarse grid, means over blocks of two voxels."""
    pixels = open_npy(path)
    at = [np.linspace(0, n - 1, SIDE).round().astype(int) for n in pixels.shape[:3]]
    seen = np.asarray(pixels[np.ix_(*at)], np.float32)
    seen = np.nan_to_num(seen.mean(-1) if seen.ndim == 4 else seen)
    low, high = np.percentile(seen, (0.5, 99.5))
    half = SIDE // 2
    return seen.clip(low, high).reshape(half, 2, half, 2, half, 2).mean((1, 3, 5)).ravel()
