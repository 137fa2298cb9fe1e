"""The five steps of the demo, told from what is in the project: nobody ticks them."""

from typing import Any

from annotator.learning.settings import EXPORTED, LearnSettings, keep_settings
from learners import LEARNERS
from storage.store import Store

FIRST = "demo-first-image"  # a setting
LEARNER = (
    "propagated"  # what the app would choose after the first complete slice; before, another one would begin
)
SLICES = 2  # to label on the first volume


def begin_steps(store: Store, first: int) -> None:
    """The project is the demo from now on; `first` is the volume to begin with."""
    if store.setting(FIRST) is None:
        store.set_setting(FIRST, str(first))
        keep_settings(store, LearnSettings(learners=(LEARNER,)))


def five_steps(store: Store) -> dict[str, Any] | None:
    """The message of docs/protocol.md; None where the project is not the demo."""
    kept = store.setting(FIRST)
    if kept is None:
        return None
    first = int(kept)
    others = [row.id for row in store.images(limit=-1)[1] if row.id != first]
    complete = sum(state == "complete" for _, _, state in store.slice_states(first))
    proposed = [i for i in others if any(p.kind == "predicted" for p in store.predictions.of(i))]
    sources = {label.source for i in others for label in store.labels(i)}
    exported = store.setting(EXPORTED)
    return {
        "first": first,
        "next": next((i for i in proposed if not store.labels(i)), None),
        "learner": exported or _with_model(store),
        "slices": complete,
        "proposed": len(proposed),
        "others": len(others),
        "done": [
            complete >= SLICES,
            bool(proposed) or bool(sources & {"refined", "accepted"}),
            "refined" in sources,
            "accepted" in sources,
            exported is not None,
        ],
    }


def _with_model(store: Store) -> str | None:
    """The learner whose network was trained last."""
    done = [row for name in LEARNERS if LEARNERS[name].network and (row := store.rounds.newest(name, "done"))]
    return max(done, key=lambda row: row.id).learner if done else None
