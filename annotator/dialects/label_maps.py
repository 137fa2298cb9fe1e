"""Label maps between the project and other tools: values in files, classes here, names on both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.dialects.subjects import Subject, numbers_of
from annotator.exchange.masks.value_names import clean_name
from annotator.workflow import Workflow
from storage import formats
from storage.arrays import BACKGROUND, MAX_CLASS, UNLABELLED
from storage.formats import FileRefused, lay_on
from storage.rows import ClassRow, ImageRow
from storage.store import Store

NO_CLASS = ("background", "background_scribbles", "foreground_scribbles")


@dataclass(frozen=True)
class LabelMap:
    """A label map on the grid of its image."""

    values: NDArray[np.unsignedinteger]  # (Z, Y, X) in display order
    names: dict[int, str]  # of the values that mean a class
    new: tuple[str, ...]  # classes that the project lacks


def read_map(path: Path, subject: Subject, told: Any, classes: Sequence[ClassRow]) -> LabelMap:
    """`told`: the tool's list of names and values; where it says none, the values are ours. Raises ValueError."""
    names = names_in(told) or {n: row.name for row in classes for n in [numbers_of(list(classes))[row.id]]}
    try:
        values, own = formats.read_labels(path)
        on_grid = lay_on(values, own, subject.grid)
    except FileRefused as refusal:
        raise ValueError(f"the label was not saved: {refusal}") from None
    present = [int(v) for v in np.unique(on_grid) if v]
    if nameless := [v for v in present if v not in names]:
        raise ValueError(
            f"the label holds the value {nameless[0]} and nothing says what it is; name it in label_info"
        )
    used = {v: names[v] for v in present if names[v] not in NO_CLASS}
    known = {row.name for row in classes}
    new = tuple(dict.fromkeys(name for name in used.values() if name not in known))
    if len(known) + len(new) > MAX_CLASS:
        raise ValueError(
            f"it brings {len(new)} new classes and a project holds {MAX_CLASS}; merge some first"
        )
    return LabelMap(on_grid, used, new)


def names_in(told: Any) -> dict[int, str]:
    """From [{name, idx}] or [{name, id}] or {name: idx}. Raises ValueError for two names of one value."""
    pairs = told.items() if isinstance(told, dict) else [_pair(one) for one in told or ()]
    found: dict[int, str] = {}
    for name, value in pairs:
        if not isinstance(name, str) or type(value) is not int or not 0 <= value < 1 << 32:
            raise ValueError("label_info names each label and its number, as [{name: liver, idx: 1}]")
        if value in found and found[value] != clean_name(name):
            raise ValueError(f"label_info gives the value {value} two names; number the labels apart")
        found[value] = clean_name(name)
    return {value: name for value, name in found.items() if value and name}


def _pair(one: Any) -> tuple[Any, Any]:
    if not isinstance(one, dict):
        return None, None
    return one.get("name"), one.get("idx", one.get("id"))


def as_classes(label: LabelMap, classes: Sequence[ClassRow]) -> NDArray[np.uint8]:
    """(Z, Y, X) classes, once the project has all of them."""
    ids = {row.name: row.id for row in classes}
    keys = np.unique(label.values)
    table = np.array(
        [ids[label.names[int(v)]] if int(v) in label.names else BACKGROUND for v in keys], np.uint8
    )
    return table[np.searchsorted(keys, label.values)]


def as_values(classes: NDArray[np.uint8], rows: Sequence[ClassRow]) -> NDArray[np.uint8]:
    """(Z, Y, X) values for a tool, 0 for background and for what nobody said."""
    table = np.zeros(256, np.uint8)
    for class_id, number in numbers_of(list(rows)).items():
        table[class_id] = number
    return table[classes]


def note_seen(store: Store, user: str, revs: Mapping[int, int]) -> None:
    """This person sees in another tool what was said of each image up to its event; whatever comes later stands when
    they save."""
    if revs and not store.looking:  # then nobody saves anything
        store.tool_notes.note_seen(user, revs)


def known_and_proposed(workflow: Workflow, row: ImageRow, producer: str | None = None) -> NDArray[np.uint8]:
    """(Z, Y, X) classes: what people said and, elsewhere, the newest proposal. Raises LookupError for neither."""
    with workflow.folds.lock:
        known = workflow.folds.get(row.id).known()
    found = workflow.store.predictions.newest(row.id, producer)
    if found is None and (producer is not None or (known == UNLABELLED).all()):
        raise LookupError(
            f"nothing is labelled or proposed for {row.name!r} yet; label an object on one slice"
        )
    rest = found.classes() if found is not None else np.uint8(BACKGROUND)
    return np.where(known == UNLABELLED, rest, known).astype(np.uint8)
