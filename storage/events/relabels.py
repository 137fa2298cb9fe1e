"""Relabelling: one event says of an image that whatever was one class before is another now, or says nothing more.

It is applied wherever older events are read, so that merging a class is one row an image, and undoing it too.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from storage.arrays import UNLABELLED, Patch
from storage.database import Database

Pairs = tuple[tuple[int, int], ...]  # (class before, class after), in the order in which they were said


@dataclass(frozen=True)
class Relabel:
    id: int
    before: int
    after: int  # UNLABELLED: what was said of that class is not said any more


def relabels_of(db: Database, image_ids: Sequence[int] | None = None) -> dict[int, list[Relabel]]:
    """By image, oldest first; of these images, or of all."""
    some = "" if image_ids is None else f" and image_id in ({','.join('?' * len(image_ids))})"
    sql = f"select id, image_id, classes from labels where kind = 'relabel' and live{some} order by id"
    found: dict[int, list[Relabel]] = {}
    for row in db.rows(sql, image_ids or []):
        found.setdefault(row["image_id"], []).append(Relabel(row["id"], *json.loads(row["classes"])))
    return found


def pairs_after(relabels: Iterable[Relabel], event_id: int) -> Pairs:
    """What happened to the classes of an event since it was made."""
    return tuple((each.before, each.after) for each in relabels if each.id > event_id)


def class_now(value: int, pairs: Pairs) -> int:
    for before, after in pairs:
        value = after if value == before else value
    return value


def classes_now(values: Iterable[int], pairs: Pairs) -> tuple[int, ...]:
    """As class values of an event: none for what is not said any more."""
    return tuple(sorted({class_now(value, pairs) for value in values} - {UNLABELLED}))


def prompts_now(prompts: dict[str, Any], pairs: Pairs) -> dict[str, Any]:
    """A tight box is a box of a class, too."""
    value = prompts.get("box_of")
    if not pairs or type(value) is not int:
        return prompts
    now = class_now(value, pairs)
    rest = {key: said for key, said in prompts.items() if key != "box_of"}
    return rest if now == UNLABELLED else {**rest, "box_of": now}


def patch_now(patch: Patch, pairs: Pairs) -> Patch:
    """What a patch says since."""
    if not pairs:
        return patch
    table = np.array([class_now(value, pairs) for value in range(256)], np.uint8)
    return replace(patch, classes=table[patch.classes])
