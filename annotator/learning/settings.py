"""How a project learns: its settings, kept in the project."""

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from learners import LEARNERS
from learners.adapt import ADAPTERS, AUTO
from learners.rankers import RANKERS
from storage.store import Store

log = logging.getLogger(__name__)

SETTING, RANKER = "learning", "ranker"
EXPORTED = "exported-model"  # the learner whose model was written last


@dataclass(frozen=True)
class LearnSettings:
    """Raises LookupError for an unknown learner, ValueError for an odd time."""

    learners: tuple[str, ...] = ()  # empty: the app chooses
    paused: tuple[str, ...] = ()
    seconds: float = 20.0  # of the first round after a new label; each further one takes twice as long
    settle_seconds: float = 180.0  # how long to go on training on the same labels
    predict_seconds: float = 30.0
    device: str = "auto"
    network: str = "auto"
    steps: int | None = None
    adapt: str = ""  # to each group of images: an adapter, "auto", or "" for none
    references: tuple[int, ...] = ()  # images that reference segmentation learns from; none: typical ones

    def __post_init__(self) -> None:
        for name in (*self.learners, *self.paused):
            if name not in LEARNERS:
                raise LookupError(f"there is no learner {name!r}; there are: {', '.join(LEARNERS)}")
        if self.adapt and self.adapt != AUTO and self.adapt not in ADAPTERS:
            raise LookupError(f"there is no adapter {self.adapt!r}; there are: {AUTO}, {', '.join(ADAPTERS)}")
        if not 1 <= self.seconds <= 86400 or not 0 <= self.settle_seconds <= 7 * 86400:
            raise ValueError("a round takes between a second and a day; choose another time")


def read_settings(store: Store) -> LearnSettings:
    """The defaults where nothing is kept or it cannot be read."""
    text = store.setting(SETTING)
    try:
        values: dict[str, Any] = json.loads(text) if text else {}
        for name in ("learners", "paused", "references"):
            values[name] = tuple(values.get(name, ()))
        return LearnSettings(**values)
    except (ValueError, TypeError, LookupError) as error:
        log.warning("the learning settings cannot be read (%s); the defaults hold", error)
        return LearnSettings()


def keep_settings(store: Store, settings: LearnSettings) -> None:
    store.set_setting(SETTING, json.dumps(asdict(settings)))


def wants_members(store: Store) -> bool:
    """Whether the ranker that people chose needs to know where the stages of a training disagree."""
    chosen = RANKERS.get(store.setting(RANKER) or "")
    return chosen is not None and chosen.needs_members
