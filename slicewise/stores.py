"""The project's store for the length of one call."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.store import Store


@contextmanager
def reading(root: Path) -> Iterator[Store]:
    """Also where the page has the project open. Raises FileNotFoundError."""
    store = Store.read_only(root)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def writing(root: Path, *, new: bool = False) -> Iterator[Store]:
    """Raises FileNotFoundError where there is no project and it is not to be `new`, ProjectBusy where it is open."""
    store = Store(root) if new else Store.existing(root)
    try:
        yield store
    finally:
        store.close()
