"""Codes that files say of classes: a class without one takes it, and gives it back where the import is undone."""

from storage.events.current_act import current_act
from storage.store import Store


def take_code(store: Store, class_id: int, code: str) -> None:
    """What a class has already stays: people chose it, or an earlier file."""
    if not code:
        return
    row = store.class_rows.get(class_id)
    if row.code is not None:
        return
    store.class_rows.set_code(class_id, code)
    if (act := current_act.get()) is not None:
        before = store.acts.get(act).facts.get("coded", [])
        store.acts.note(act, coded=[*before, [row.id, row.made, code]])
