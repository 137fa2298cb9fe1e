"""Reading what a newer version may take the place of at any moment, such as a proposal's files."""

from collections.abc import Callable
from operator import eq
from typing import TypeVar

from storage.arrays import TornFile

Found = TypeVar("Found")
Result = TypeVar("Result")


def read_newest(
    find: Callable[[], Found],
    read: Callable[[Found], Result],
    same: Callable[[Found, Found], bool] = eq,
) -> Result:
    """What `read` makes of what `find` finds; once more where its files went because there is a newer one. Raises
    TornFile where there is none, and what both raise."""
    found = find()
    try:
        return read(found)
    except TornFile:
        newer = find()
        if same(newer, found):
            raise
    return read(newer)
