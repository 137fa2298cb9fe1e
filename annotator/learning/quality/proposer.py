"""Who proposes, where people let the app choose: the learner that did until now, or one that is better beyond noise.

The rule of `learners.choice` names a candidate by the kinds of labels there are. It trains beside the one that proposes
and is judged on the same held-out images. It takes over when it is better there by more than noise; until then what
people see does not change. Where nothing is held out, nobody can tell, and the rule decides.
"""

import json
from dataclasses import dataclass

from annotator.learning.quality.held_out import MIN_TO_HOLD_OUT
from annotator.learning.quality.model_quality import model_quality, what_would_judge
from learners import LEARNERS
from learners.choice import Choice
from learners.prediction.comparison import Compared, compare
from learners.text import count_of
from storage.store import Store

SETTING = "proposer"
TOOK_OVER = "it took over from"
FEW = 4  # held-out images, below which their mean may lie far from that of new images


@dataclass(frozen=True)
class Proposer:
    learner: str
    why: str  # in words
    challenger: str | None = None  # trains beside it, and proposes nothing

    def keep(self, store: Store) -> bool:
        """Remember who proposes and since when why; whether somebody took over."""
        before, _ = _kept(store)
        if before != self.learner:
            store.set_setting(SETTING, json.dumps({"learner": self.learner, "why": self.why}))
        return before not in ("", self.learner)


def proposer_of(store: Store, choice: Choice) -> Proposer:
    """Decided from the project's facts; running it twice does no harm."""
    (leader, since), candidate = _kept(store), choice.learner
    if leader == candidate:
        return Proposer(leader, since if TOOK_OVER in since else choice.why)
    newest = store.rounds.newest(leader)
    if newest is None or newest.status == "failed" or store.rounds.newest(leader, "done") is None:
        return Proposer(candidate, choice.why)
    core = store.judging.core()
    if core is None or not core.places:
        return Proposer(candidate, f"{choice.why}; nothing is held out yet by which models could be compared")
    mine, other = (store.judging.judged_on(core.id, name) for name in (candidate, leader))
    found = compare(mine, other)
    if found is None:
        why = f"{short_title(candidate)} may suit the labels better now, and is tried beside it"
        return Proposer(leader, why, candidate)
    if found.better:
        return Proposer(candidate, f"{TOOK_OVER} {short_title(leader)}: {_against(found)}")
    stays = Compared(found.images, found.other, found.mine, better=False)
    return Proposer(leader, f"it stays: {_against(stays)}, by {short_title(candidate)}", candidate)


def _kept(store: Store) -> tuple[str, str]:
    """Who proposed until now, and why since then."""
    try:
        told = json.loads(store.setting(SETTING) or "{}")
        leader, why = str(told.get("learner", "")), str(told.get("why", ""))
    except (ValueError, AttributeError):
        return "", ""
    return (leader, why) if leader in LEARNERS else ("", "")


def short_title(learner: str) -> str:
    """A learner's title without what is in brackets."""
    return LEARNERS[learner].title.partition(" (")[0]


def quality_words(store: Store, learner: str) -> str:
    """How good its model is here, as a sentence."""
    quality = model_quality(store, learner)
    if quality is None:
        return f"how good they are nobody knows yet; {what_would_judge(store, learner)}."
    if quality.slices:
        known = (
            f"on {count_of(quality.slices, 'held-out slice')} of images that taught, Dice {quality.dice:.2f}"
        )
        if store.images(limit=1)[0] < MIN_TO_HOLD_OUT:
            return f"{known}."
        return f"how good they are on new images nobody knows before {_when(store)}; {known}."
    images = f" on {count_of(quality.images, 'held-out image')}" if quality.images else ""
    few = "; so few say little about new ones" if 0 < quality.images < FEW else ""
    return f"Dice {quality.dice:.2f}{images}{few}."


def _when(store: Store) -> str:
    """What it takes for whole images to judge."""
    if len(store.rounds.labelled_images()) < MIN_TO_HOLD_OUT:
        return f"{MIN_TO_HOLD_OUT} are labelled"
    return "you label another one yourself"


def _against(found: Compared) -> str:
    return f"Dice {found.mine:.2f} against {found.other:.2f} on the same {count_of(found.images, 'image')}"
