"""A round of references as a film: align the video model's neck on them, carry their masks into every other image."""

from learners.methods.reference.film import Film, aligned
from learners.methods.reference.reference_slices import axis_of, shots_of
from learners.propagate import VIDEO_WEIGHTS
from learners.propagate.tracked import tracker_on_this_machine
from learners.rounds.own_round import OwnRound
from learners.spec import RoundResult, RoundSpec, Unready
from models.sam.sam2 import Propagator

CARD = "film.json"


def run(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Learns anew each time: what was aligned is not kept on disk."""
    round_ = OwnRound(spec)
    axis = axis_of(round_.cases)
    shots = shots_of(round_.cases, spec.references, axis)
    if not any((shot.values == value).any() for shot in shots for value in spec.class_ids):
        raise Unready("no reference shows an object; complete one slice that shows one")
    tracker = _tracker(spec.prompts.name)

    def tell(step: int, loss: float) -> None:
        round_.check_stop()
        round_.report.say("aligning", step=step, loss=loss)

    film = Film(aligned(tracker, shots, spec.class_ids, tell=tell), tuple(shots), spec.class_ids, axis)
    round_.write_card(CARD, {"references": [s.image_id for s in shots]})
    count = len({s.image_id for s in shots})
    return round_.finish(film, f"carried over from {count} reference images by a video model")


def _tracker(chosen: str) -> Propagator:
    try:
        found = tracker_on_this_machine(VIDEO_WEIGHTS, chosen)
    except ValueError as error:
        raise Unready(str(error)) from None
    assert isinstance(found, Propagator)
    return found
