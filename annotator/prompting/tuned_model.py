"""What a project knows of its tuned prompt model: one setting, and the file that it names."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.store import Store

SETTING = "prompt_tuning"
FOLDER = "tuned"  # of the project: the adapter in use


@dataclass(frozen=True)
class Tuned:
    """What is known of the last tuning."""

    tried: int = 0  # finished masks when a round last ended
    file: str | None = None  # the adapter in use, in the project's folder `tuned`
    objects: int = 0  # it was tuned on
    before: float | None = None  # clicks on held-out masks
    after: float | None = None
    message: str = ""  # what came of the last round, one sentence

    @property
    def line(self) -> str:
        """What the list of models says."""
        return f"tuned on {self.objects} of your masks: {self.before:.1f} -> {self.after:.1f} clicks to 0.85"


def read_tuned(store: Store) -> Tuned:
    """What this project knows; the defaults where that cannot be read."""
    try:
        return Tuned(**json.loads(store.setting(SETTING) or "{}"))
    except (ValueError, TypeError):
        return Tuned()


def adapter_of(store: Store) -> Path | None:
    """The project's adapter, where it has one."""
    name = read_tuned(store).file
    return store.root / FOLDER / name if name and Path(name).name == name else None


def write_tuned(store: Store, tuned: Tuned) -> None:
    store.set_setting(SETTING, json.dumps(asdict(tuned)))
