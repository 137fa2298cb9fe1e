"""An import as one act, which is undone as a whole."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.events.acts import NewAct
from storage.store import Store

AUTHOR = "import"  # not a person: nobody's undo takes an import apart


@contextmanager
def as_one_act(store: Store, shown: str, what: str = "labels") -> Iterator[None]:
    """Whatever this thread adds meanwhile; `shown` names what is imported. An import that brings nothing is no act."""
    before = {c.id for c in store.classes()}
    with store.acts.doing(NewAct("import", f"Imported {shown}", AUTHOR)) as act:
        try:
            yield
        finally:
            facts = store.acts.get(act).facts
            turned = facts.get("turned", {})
            brought = len(store.bin.imported_by(act)) - len(turned)
            labelled = len(store.acts.images(act) - {int(image) for image in turned})
            added = [c.id for c in store.classes() if c.id not in before]
            if brought or labelled or facts:
                headers = len(facts.get("headers", {})) + len(turned)
                told = [
                    _counted(brought, "image") if brought else "",
                    f"{what} on {_counted(labelled, 'image')}" if labelled else "",
                    _counted(headers, "new header") if headers else "",
                ]
                shown_parts = ", ".join(filter(None, told)) or what
                store.acts.note(act, f"Imported {shown}: {shown_parts}", classes=added)
            else:
                store.acts.forget(act)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
