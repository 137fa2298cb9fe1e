"""Training methods behind one seam. Importing this loads no torch: `make` imports what it needs when it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learners.trainer import Recipe


@dataclass(frozen=True)
class LearnerEntry:
    """A method that can be chosen."""

    title: str
    good_at: str
    make: "Callable[[], Recipe]"
    needs: str = ""  # what it wants before it is more than supervised training, in words


def _supervised() -> "Recipe":
    from learners.supervised import make

    return make()


LEARNERS: dict[str, LearnerEntry] = {
    "supervised": LearnerEntry(
        title="Supervised",
        good_at="a few labels and minutes on any machine; the one to beat",
        make=_supervised,
    ),
}
