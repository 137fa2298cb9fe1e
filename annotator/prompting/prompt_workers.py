"""Prompts answered in processes of their own, so that the server's one Python thread is free for everything else."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from functools import lru_cache

from annotator.prompting.answering import Answerer, PackedAnswer, Question
from annotator.prompting.speeds import Speed, measure
from learners.engines import make_prompt_team
from learners.engines.team import WorkerTeam
from models import PromptChoice, opened

log = logging.getLogger(__name__)

GIVEN_UP = "This click ended two prompt workers, probably because memory ran out; click again or use a smaller image."
WORTH_IT = 8  # workers, beyond which a machine's processors have better things to do
MOST = 64


def make_prompt_workers(count: int | None, engine: str, address: str | None = None) -> "PromptWorkers | None":
    """`count` None: one a processor, up to a bound; 0: nobody, the server answers itself. Raises ValueError."""
    if count is None:
        count = min(WORTH_IT, os.cpu_count() or 1)
    if not 0 <= count <= MOST:
        raise ValueError(
            f"there are 0 to {MOST} prompt workers, got {count}; 0 lets the server answer itself"
        )
    team = make_prompt_team(count, engine, address)
    return None if team is None else PromptWorkers(team)


class PromptWorkers:
    """Thread-safe. A worker that dies is replaced, and what it was asked is asked again, each prompt by itself."""

    def __init__(self, team: WorkerTeam) -> None:
        self._team = team

    def __len__(self) -> int:
        return len(self._team)

    def load(self, choice: PromptChoice) -> None:
        """The model is in every worker when this returns. Raises what loading raises."""
        try:
            self._team.each(_load, choice)
        except BrokenExecutor as error:  # the next prompt starts another one
            log.warning("a prompt worker died while it loaded its model (%s)", error)

    def answer(self, choice: PromptChoice, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
        """As `Answerer.answer`."""
        try:
            return self._team.call(_answer, choice, questions)
        except BrokenExecutor as error:
            log.warning("a prompt worker died (%s); another one takes its prompts", error)
        return [self._once_more(choice, question) for question in questions]

    def measure(self, choice: PromptChoice) -> Speed | None:
        return self._team.call(_measure, choice)

    def close(self) -> None:
        self._team.kill()

    def _once_more(self, choice: PromptChoice, question: Question) -> PackedAnswer | Exception:
        try:
            return self._team.call(_answer, choice, [question])[0]
        except BrokenExecutor:
            return ValueError(GIVEN_UP)


# In the worker.


@lru_cache(maxsize=1)  # of the model that answers now: another one takes its place
def _answerer(choice: PromptChoice) -> Answerer:
    return Answerer(opened(choice))


def _load(choice: PromptChoice) -> None:
    _answerer(choice)


def _answer(choice: PromptChoice, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
    return _answerer(choice).answer(questions)


def _measure(choice: PromptChoice) -> Speed | None:
    return measure(_answerer(choice).model, instant=True)
