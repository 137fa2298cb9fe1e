"""The two calls that cross to a worker. Light, because the server imports them: torch takes seconds to load."""

from learners import LEARNERS
from learners.give_way import giving_way
from learners.spec import RoundResult, RoundSpec
from learners.tuning_spec import TuneResult, TuneSpec


def run_round(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Runs in a worker; sees neither database nor page."""
    with giving_way(spec.people_wait):
        own = LEARNERS[spec.learner].run_round
        if own is not None:
            return own(spec)
        from learners.rounds.train import run

        return run(spec)


def run_tuning(spec: TuneSpec) -> TuneResult:
    """Train the prompt model's late layers, compare, keep or drop. Raises Unready where nothing can be judged by."""
    from learners.rounds.tune import tune

    with giving_way(spec.people_wait):
        return tune(spec)
