"""What people do with the classes themselves: add, rename, recolour, code, remove, merge, delete with all labels."""

from dataclasses import dataclass

from annotator.labels.label_cache import LabelCache
from annotator.protocol.outgoing import Message
from storage.arrays import UNLABELLED
from storage.events.acts import NewAct
from storage.store import Store


@dataclass(frozen=True)
class ClassesEdited:
    """The list as it is then, and the images whose labels changed."""

    classes: list[Message]
    images: frozenset[int] = frozenset()


class ClassEdits:
    """Thread-safe."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def edit(self, user: str, change: Message) -> ClassesEdited:
        """Durable when it returns; the same `key` again changes nothing and gets the first answer. Raises ValueError,
        LookupError."""
        key = change.get("key")
        with self._folds.lock, self._store.together():  # no stroke comes between the look and the removal
            if key and (kept := self._store.answers.of(key)):
                return ClassesEdited(kept["classes"])
            images = self._do(user, change)
            edited = ClassesEdited(class_list(self._store), frozenset(images))
            if key:
                self._store.answers.keep(key, {"classes": edited.classes})
        for image_id in images:
            self._folds.forget(image_id)
        return edited

    def _do(self, user: str, change: Message) -> set[int]:
        rows, op = self._store.class_rows, change["op"]
        if op in ("merge", "delete"):
            return self._relabel(user, change["id"], change["into"] if op == "merge" else UNLABELLED)
        if op == "add":
            rows.add(change["name"], change.get("color"), objects=bool(change.get("objects")))
        elif op == "rename":
            rows.rename(change["id"], change["name"])
        elif op == "code":
            rows.set_code(change["id"], change["code"])
        elif op == "objects":
            rows.set_objects(change["id"], change["objects"])
        elif op == "recolor":
            rows.recolor(change["id"], change["color"])
        else:
            self._store.remove_class(change["id"])
        return set()

    def _relabel(self, user: str, before: int, after: int) -> set[int]:
        """All that was one class is another, or is not said any more; the class goes. One act, undone as a whole."""
        row = self._store.class_rows.get(before)
        if before == after:
            raise ValueError("a class cannot be merged into itself; choose another one")
        title = f"Deleted “{row.name}” with its labels"
        if after != UNLABELLED:
            title = f"Merged “{row.name}” into “{self._store.class_rows.get(after).name}”"
        kind = "delete-class" if after == UNLABELLED else "merge-class"
        with self._store.acts.doing(NewAct(kind, title, user), removed=before, made=row.made):
            images = self._store.relabel(before, after, author=user)
            self._store.class_rows.remove(before)
        return images


def class_list(store: Store) -> list[Message]:
    return [
        {
            "id": c.id,
            "name": c.name,
            "color": c.color,
            "made": c.made,
            "code": str(c.code or ""),
            "objects": c.objects,
        }
        for c in store.classes()
    ]
