"""A trained model from outside as a learner's start: its classes are matched by name, nothing in it is run."""

import json
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from learners.spec import CARD, MAX_FOLDS
from learners.training.bounded import MAX_JSON, read_json, unpack_member
from storage.arrays import write_bytes
from storage.rounds import Finished, RoundRow, Rounds
from storage.store import Store

MAX_BYTES = 512 << 20  # of a model's weights; ours have a few megabytes, the largest 150
ADVICE = "choose the zip or the folder that “Export model” made"


def import_model(store: Store, rounds: Rounds, learner: str, folder: Path) -> RoundRow:
    """Take an exported folder in as a learner's model: a start for its next round, and a predictor at once.

    Its classes become this project's classes of the same names; new names become new classes. Nothing in the folder
    is run. Raises ValueError where it is no model, LookupError for an unknown learner.
    """
    from learners import LEARNERS
    from learners.training.checkpoint import STUDENT, load_members, read_card, weight_files

    if learner not in LEARNERS:
        raise LookupError(f"there is no learner {learner!r}; there are: {', '.join(LEARNERS)}")
    if not LEARNERS[learner].network:
        raise LookupError(f"{learner} trains no network; take the model in for another learner")
    load_members(folder, "cpu")  # refuses what does not fit its card
    files = weight_files(read_card(folder))
    card = read_json(folder / CARD)
    card = {**card, **_in_this_project(store, card), "learner": learner}
    if not LEARNERS[learner].lasting:  # it goes on training one network
        card, files = {**card, "final": None}, files[:1]
    row = rounds.start(learner, 0, "train")
    for name in (*files, STUDENT):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, rounds.folder(row.id) / name)
    write_bytes(rounds.folder(row.id) / CARD, json.dumps(card, indent=1).encode())
    notes = {"steps": 0, "seconds": 0.0, "notes": ["this model was imported"]}
    rounds.finish(row.id, Finished(row.id, None, None, None, notes))
    return rounds.get(row.id)


def model_folder(uploaded: Path, into: Path) -> Path:
    """The folder of a model among uploaded files: a zip of one (its known files are unpacked into `into`), or the
    folder that holds the card. Raises ValueError."""
    archives = [path for path in uploaded.rglob("*") if path.suffix.lower() == ".zip"]
    if archives:
        return _unpacked(archives[0], into)
    cards = sorted(uploaded.rglob(CARD), key=lambda path: len(path.parts))
    if not cards:
        raise ValueError(f"there is no {CARD} among these files, so they are no model; {ADVICE}")
    return cards[0].parent


def _unpacked(archive: Path, into: Path) -> Path:
    """Only files of a model's own names, whatever else and whatever paths the zip holds."""
    from learners.training.checkpoint import STUDENT, member_file

    known = (CARD, STUDENT, *map(member_file, range(MAX_FOLDS)))
    into.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as content:
            for entry in content.infolist():
                name = PurePosixPath(entry.filename).name
                if name not in known or (into / name).exists():
                    continue
                unpack_member(content, entry, into / name, MAX_JSON if name == CARD else MAX_BYTES)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"the file {archive.name} cannot be read as a zip ({error}); export the model again"
        ) from error
    if not (into / CARD).is_file():
        raise ValueError(f"the file {archive.name} holds no {CARD}, so it is no model; {ADVICE}")
    return into


def _in_this_project(store: Store, card: dict[str, Any]) -> dict[str, Any]:
    """`class_ids` and what goes by them, in this project's numbers. Raises ValueError."""
    own = {c.name.casefold(): c.id for c in store.classes()}
    told = {int(c["id"]): c for c in card.get("classes", ()) if isinstance(c, dict) and "id" in c}
    numbers: dict[int, int] = {}
    for old in card["class_ids"]:
        name = str(told.get(old, {}).get("name", "")).strip()
        if name:
            known = own.get(name.casefold())
            numbers[old] = known if known is not None else store.add_class(name, _colour(told[old])).id
        elif old in own.values():
            numbers[old] = old
        else:
            raise ValueError(
                f"the model's class {old} has no name in its card and is not a class here; {ADVICE}"
            )
    if len(set(numbers.values())) != len(numbers):
        raise ValueError("two classes of this model have one name; rename one in its model.json")
    per_class = {str(numbers[int(c)]): dice for c, dice in card["per_class"].items() if int(c) in numbers}
    here = {"class_ids": [numbers[c] for c in card["class_ids"]], "per_class": per_class}
    objects = card.get(
        "objects"
    )  # of classes whose objects are told apart; its ids were checked with the card
    if objects:
        here["objects"] = {**objects, "class_ids": [numbers[int(c)] for c in objects["class_ids"]]}
    return here


def _colour(told: dict[str, Any]) -> str | None:
    """A colour that is one; the project chooses another otherwise."""
    colour = str(told.get("color", ""))
    digits = colour[1:]
    return (
        colour
        if len(colour) == 7 and colour[0] == "#" and all(d in "0123456789abcdefABCDEF" for d in digits)
        else None
    )
