"""The one call that crosses to a worker. Light, because the server imports it."""

from learners import LEARNERS
from learners.spec import RoundResult, RoundSpec


def run_round(spec: RoundSpec) -> RoundResult:
    """Raises Unready, or what went wrong. Runs in a worker; sees neither database nor page."""
    own = LEARNERS[spec.learner].work
    if own is not None:
        return own(spec)
    from learners.work import work  # torch takes seconds to load, and the server never needs it

    return work(spec)
