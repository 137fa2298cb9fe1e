"""How far a final model is, from the files that its folds leave: no torch here, the server asks every half second."""

from dataclasses import dataclass, replace
from pathlib import Path

from learners.final.folds import fold_folder
from learners.progress import RoundProgress, read_progress
from learners.spec import CARD


@dataclass(frozen=True)
class Trained:
    """So far; of the training alone, since choosing and predicting take minutes."""

    share: float  # 0..1
    seconds_left: float
    progress: RoundProgress | None  # of the fold that trains now


def trained_so_far(work: Path, folds: int, seconds: float) -> Trained:
    """`seconds`: of all folds together. Folds that train side by side end together."""
    each, left, running, now = seconds / folds, 0.0, 0, None
    for number in range(folds):
        folder = fold_folder(work, number)
        if (folder / CARD).exists():
            continue
        told = read_progress(folder) if folder.is_dir() else None
        its = each if told is None or told.seconds_left is None else told.seconds_left
        if told is not None:
            running += 1
            doing = told.phase if folds == 1 else f"{told.phase} network {number + 1} of {folds}"
            now = replace(told, phase=doing)
        left += its
    ahead = left / max(1, running)
    return Trained(
        round(1 - left / seconds, 4), ahead, None if now is None else replace(now, seconds_left=ahead)
    )
