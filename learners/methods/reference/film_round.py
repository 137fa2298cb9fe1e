"""A round of references as a film: align the video model's neck on them, carry their masks into every other image."""

import json
import time
from dataclasses import replace

from learners.methods.reference.film import Film, aligned
from learners.methods.reference.reference_slices import axis_of, shots_of
from learners.prediction.evaluation import Evaluator
from learners.prediction.predict_images import BatchPredictor
from learners.progress import STOP_FILE, ProgressReport
from learners.propagate import VIDEO_WEIGHTS
from learners.propagate.tracked import tracker_on_this_machine
from learners.spec import RoundResult, RoundSpec, Unready
from learners.training.data import open_readers
from learners.training.plan import plan_of
from learners.training.targets import Classes
from models.sam.sam2 import Propagator
from storage.arrays import write_bytes

CARD = "film.json"


def run(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Learns anew each time: what was aligned is not kept on disk."""
    report, started = ProgressReport(spec.directory), time.monotonic()
    classes, plan = Classes(spec.class_ids), plan_of(spec)
    notes: list[str] = []
    cases = open_readers(spec.examples, classes, plan.network.channels, notes)
    axis = axis_of(cases)
    shots = shots_of(cases, spec.references, axis)
    if not any((shot.values == value).any() for shot in shots for value in spec.class_ids):
        raise Unready("no reference shows an object; complete one slice that shows one")
    tracker = _tracker(spec.prompts.name)

    def tell(step: int, loss: float) -> None:
        if (spec.directory / STOP_FILE).exists():
            raise Unready("the round was stopped before it had learned anything")
        report.say("aligning", step=step, loss=loss)

    film = Film(aligned(tracker, shots, spec.class_ids, tell=tell), tuple(shots), spec.class_ids, axis)
    write_bytes(spec.directory / CARD, json.dumps({"references": [s.image_id for s in shots]}).encode())
    seconds = round(time.monotonic() - started, 2)
    report.say("comparing")
    judged = Evaluator(cases, plan, classes)(film)
    predicted, remaining = BatchPredictor(spec, plan, classes, film).run(cases, report, judged.dice)
    notes.append(f"carried over from {len({s.image_id for s in shots})} reference images by a video model")
    result = RoundResult(spec.directory, predicted, 1, seconds, dice=judged.dice, child_dice=judged.dice)
    return replace(result, per_class=judged.per_class, remaining=remaining, notes=tuple(notes))


def _tracker(chosen: str) -> Propagator:
    try:
        found = tracker_on_this_machine(VIDEO_WEIGHTS, chosen)
    except ValueError as error:
        raise Unready(str(error)) from None
    assert isinstance(found, Propagator)
    return found
