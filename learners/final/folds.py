"""Which labelled images each fold leaves out, and its training as a round of the one loop."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from learners.progress import stop_file
from learners.spec import CARD, Example, Lasting, RoundSpec
from storage.arrays import write_bytes

SPLIT = "folds.json"


def lasting_of(spec: RoundSpec) -> Lasting:
    """As asked; by itself one network, whose training is forgotten with the round."""
    return spec.lasting or Lasting(spec.directory / "work")


def fold_count(spec: RoundSpec) -> int:
    """No more than there are labelled images to leave out."""
    teaching = sum(_teaches(example) for example in spec.examples)
    wanted = lasting_of(spec).folds
    return wanted if wanted == 1 else max(1, min(wanted, teaching))


def left_out(spec: RoundSpec) -> dict[int, int]:
    """Image -> the fold that never sees its labels; empty for one fold. What was split once stays: a network must not
    be judged by what it learned from."""
    folds, work = fold_count(spec), lasting_of(spec).work
    if folds == 1:
        return {}
    split = _kept(work / SPLIT, folds)
    for example in spec.examples:
        if _teaches(example) and example.image_id not in split:
            split[example.image_id] = min(range(folds), key=lambda fold: _size(split, fold))
    work.mkdir(parents=True, exist_ok=True)
    write_bytes(work / SPLIT, json.dumps({"folds": folds, "images": split}).encode())
    return split


def fold_spec(spec: RoundSpec, fold: int) -> RoundSpec:
    """The round that trains one fold, in a folder that outlives the round it is for."""
    lasting, out = lasting_of(spec), left_out(spec)
    return replace(
        spec,
        learner=lasting.recipe,
        examples=_without(spec.examples, [image for image, its in out.items() if its == fold]),
        directory=fold_folder(lasting.work, fold),
        parent=None,
        start=None,
        seconds=spec.seconds / fold_count(spec),
        predict=(),
        seed=spec.seed + fold,
        adapt="",
        members=False,
        lasting=replace(lasting, folds=1, stop=stop_file(spec)),
    )


def train_fold(spec: RoundSpec, fold: int) -> None:
    """Go on where an earlier process was; nothing where it ended. Raises Unready where somebody stopped it. Runs in a
    worker."""
    from learners.rounds.train import run

    mine = fold_spec(spec, fold)
    if trained(mine):
        return
    mine.directory.mkdir(parents=True, exist_ok=True)
    run(mine)


def trained(fold: RoundSpec) -> bool:
    """Whether its network is there, for the classes of today."""
    from learners.training.checkpoint import read_card

    if not (fold.directory / CARD).exists():
        return False
    if read_card(fold.directory).class_ids == fold.class_ids:
        return True
    shutil.rmtree(fold.directory)
    return False


def fold_folder(work: Path, fold: int) -> Path:
    return work / f"fold-{fold}"


def _without(examples: Sequence[Example], images: Sequence[int]) -> tuple[Example, ...]:
    """Their labels judge the fold and teach it nothing."""
    return tuple(replace(e, all_held=True, core=False) if e.image_id in images else e for e in examples)


def _teaches(example: Example) -> bool:
    return example.known is not None and not example.all_held


def _kept(path: Path, folds: int) -> dict[int, int]:
    try:
        told = json.loads(path.read_text("utf-8"))
        return {int(i): int(f) for i, f in told["images"].items()} if told["folds"] == folds else {}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}


def _size(split: Mapping[int, int], fold: int) -> int:
    return sum(its == fold for its in split.values())
