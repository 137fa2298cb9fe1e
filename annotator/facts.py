"""What the choice of a learner looks at."""

import shutil

from annotator.learn_settings import LearnSettings
from learners import LEARNERS
from learners.choice import Facts
from storage.rounds import Rounds
from storage.store import Store


def facts_of(store: Store, rounds: Rounds, settings: LearnSettings) -> Facts:
    total, rows = store.images(limit=-1)
    kinds = rounds.label_kinds()
    best = [r.dice for name in LEARNERS if (r := rounds.newest(name, "done")) is not None and r.dice]
    return Facts(
        images=total,
        volumes=sum(row.is_volume for row in rows),
        labelled=len(rounds.labelled_images()),
        complete_slices=kinds["complete"],
        drawn=kinds["patch"],
        boxes=kinds["boxes"],
        tags=kinds["tags"],
        has_gpu=settings.device != "cpu" and has_gpu(),
        dice=max(best, default=None),
    )


def has_gpu() -> bool:
    """Without loading torch: the driver's own tool."""
    return shutil.which("nvidia-smi") is not None
