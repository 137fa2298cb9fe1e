"""How the final model stands, in the words and numbers of its part of the page."""

from annotator.learning.final.model import FINAL
from annotator.learning.quality.model_quality import model_quality
from annotator.learning.scheduler import Scheduler
from annotator.protocol.outgoing import Message
from learners.text import count_of
from storage.store import Store


def final_status(scheduler: Scheduler) -> Message:
    """`state`: none, running, stopped (it can go on) or done; `message`: what came of it, in words."""
    final, done = scheduler.final, scheduler.rounds.newest(FINAL, "done")
    last = scheduler.rounds.newest(FINAL)
    state = "running" if final.going else "stopped" if final.begun else "done" if done else "none"
    return {
        "state": state,
        "seconds": final.options.seconds,
        "folds": final.options.folds,
        "gives_way": final.gives_way,
        "model": done is not None,
        "message": scheduler.waits_for(FINAL) or _words(scheduler.store, state, last.error if last else None),
    }


def _words(store: Store, state: str, error: str | None) -> str:
    if state == "stopped":
        why = error or "it was stopped"
        return f"{why[:1].upper()}{why[1:]}."
    return quality_by_class(store) if state == "done" else ""


def quality_by_class(store: Store) -> str:
    """The one number of the model, and that of each class."""
    quality = model_quality(store, FINAL)
    if quality is None:
        return "It is trained. How good it is nobody knows: nothing is held out."
    names = {c.id: c.name for c in store.classes()}
    images = f" on {count_of(quality.images, 'image')}" if quality.images else ""
    each = ", ".join(f"{names.get(c, c)} {dice:.2f}" for c, dice in quality.per_class.items())
    return f"Held-out Dice {quality.dice:.3f}{images}" + (f": {each}." if each else ".")
