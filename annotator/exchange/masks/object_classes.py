"""Masks that number objects make their classes classes of objects: what is labelled next gets numbers too."""

import numpy as np
from numpy.typing import NDArray

from storage.events.current_act import current_act
from storage.store import Store


def become_objects(
    store: Store, there: set[int], classes: NDArray[np.uint8], numbers: NDArray[np.uint16]
) -> None:
    """`classes` and `numbers`: (Z, Y, X) of one mask; `there`: classes that the project had before it, which the act
    notes, so that they are areas again where it is undone."""
    numbered = set(np.unique(classes[numbers > 0]).tolist())
    areas = [row for row in store.classes() if row.id in numbered and not row.objects]
    for row in areas:
        store.class_rows.set_objects(row.id, True)
    act, changed = current_act.get(), [[row.id, row.made] for row in areas if row.id in there]
    if act is not None and changed:
        before = store.acts.get(act).facts.get("numbered", [])
        store.acts.note(act, numbered=[*before, *changed])


def told(areas: list[str]) -> str:
    """`areas`: names of classes that are not of objects yet."""
    names = ", ".join(areas[:3]) + (f" and {len(areas) - 3} more" if len(areas) > 3 else "")
    if len(areas) == 1:
        return f"{names} becomes a class of objects: its new labels get numbers"
    return f"{names} become classes of objects: their new labels get numbers"
