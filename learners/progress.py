"""The files through which a round tells where it is, and the stop file through which it is told to end."""

import json
import math
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from learners.prediction.reasons import Reason
from learners.spec import ImageScore, JudgedImage, Reliability, RoundSpec

STOP_FILE, PROGRESS_FILE = "stop", "progress.json"


@dataclass(frozen=True)
class RoundProgress:
    """Where a round is; a file in its directory, replaced as a whole."""

    phase: str  # loading, training, comparing, predicting
    step: int = 0
    loss: float | None = None
    dice: float | None = None
    seconds_left: float | None = None
    done: tuple[int, ...] = ()  # image ids whose files are complete
    claims: dict[int, float] = field(default_factory=dict)  # how sure the model is of what it proposes there
    withheld: dict[int, Reason] = field(
        default_factory=dict
    )  # why nobody is to be shown what it makes of an image
    judged: tuple[JudgedImage, ...] = ()  # the model that predicts, on held-out images
    reliability: Reliability = Reliability()


class ProgressReport:
    """What a round has told so far; each word replaces the file."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._progress = directory, RoundProgress("loading")
        write_progress(directory, self._progress)

    def say(
        self,
        phase: str,
        *,
        step: int | None = None,
        loss: float | None = None,
        dice: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """What is left out stays as it was, but for the seconds. Raises FloatingPointError for a broken loss."""
        if loss is not None and not math.isfinite(loss):
            raise FloatingPointError(
                "the loss is not a number any more; undo labels that contradict each other, or start over"
            )
        now = self._progress
        self._progress = replace(
            now,
            phase=phase,
            step=now.step if step is None else step,
            loss=now.loss if loss is None else round(loss, 4),
            dice=now.dice if dice is None else round(dice, 4),
            seconds_left=None if seconds_left is None else round(seconds_left, 1),
        )
        write_progress(self._directory, self._progress)

    def judged(self, images: tuple[JudgedImage, ...], reliability: Reliability) -> None:
        """How good the model is that predicts from now on."""
        self._progress = replace(self._progress, judged=images, reliability=reliability)
        self.say("predicting")

    def done(self, score: ImageScore, dice: float | None, seconds_left: float) -> None:
        """The files of this image are complete."""
        claims, withheld = self._progress.claims, self._progress.withheld
        if score.withheld is not None:
            withheld = {**withheld, score.image_id: score.withheld}
        if score.claimed is not None:
            claims = {**claims, score.image_id: round(score.claimed, 4)}
        finished = (*self._progress.done, score.image_id)
        self._progress = replace(self._progress, done=finished, claims=claims, withheld=withheld)
        self.say("predicting", dice=dice, seconds_left=max(0.0, seconds_left))


def write_progress(directory: Path, progress: RoundProgress) -> None:
    """Not durable: a torn machine loses the round anyway."""
    temporary = directory / (PROGRESS_FILE + ".tmp")
    temporary.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    os.replace(temporary, directory / PROGRESS_FILE)


def read_progress(directory: Path) -> RoundProgress | None:
    """None before the first line, or while Windows has the file in its hands."""
    try:
        values = json.loads((directory / PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    told: dict[str, Any] = {
        "claims": {int(key): value for key, value in values.pop("claims").items()},
        "withheld": {int(key): value for key, value in values.pop("withheld").items()},
        "judged": tuple(JudgedImage(**each) for each in values.pop("judged")),
        "reliability": Reliability(**values.pop("reliability")),
    }
    return RoundProgress(**{**values, **told, "done": tuple(values["done"])})


def stop_file(spec: RoundSpec) -> Path:
    """Who makes it asks the round to end, with all its folds."""
    return (spec.lasting.stop if spec.lasting else None) or spec.directory / STOP_FILE


def classes_file(directory: Path, image_id: int) -> Path:
    return directory / f"classes-{image_id}.npy"


def confidence_file(directory: Path, image_id: int) -> Path:
    return directory / f"confidence-{image_id}.npy"


def objects_file(directory: Path, image_id: int) -> Path:
    """There where the model tells objects apart."""
    return directory / f"objects-{image_id}.npy"
