"""Prompts answered in processes of their own, so that the server's one Python thread is free for everything else."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from annotator.machine import has_gpu
from annotator.prompting.answering import PackedAnswer, Question
from annotator.prompting.speeds import Speed
from annotator.prompting.workers.in_worker import AnyModel, ModelFile, answer, forget, load, measured
from learners.engines import ProcessExecutor, make_prompt_team
from learners.engines.team import WorkerTeam
from models import PromptChoice

log = logging.getLogger(__name__)

GIVEN_UP = "This click ended two prompt workers, probably because memory ran out; click again or use a smaller image."
TOO_LARGE = "opening it ended two processes, probably because memory ran out"
WORTH_IT = 8  # workers, beyond which a machine's processors have better things to do
MOST = 64
WORKER_BYTES = 600_000_000  # that one takes with the built-in model
COPY = 1.5  # times its file that an opened model takes
SHARE = 0.5  # of the memory that is free, for workers or for a model's copies

Result = TypeVar("Result")


def default_count() -> int:
    """One a processor, up to a bound, and no more than there is memory for."""
    room = int(SHARE * psutil.virtual_memory().available / WORKER_BYTES)
    return max(1, min(WORTH_IT, os.cpu_count() or 1, room))


def make_prompt_workers(count: int | None, engine: str, address: str | None = None) -> "PromptWorkers | None":
    """`count` None: `default_count`; 0: nobody, the server answers itself. Raises ValueError."""
    if count is None:
        count = default_count()
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
        # Encodes for models whose encoding takes long. Gives way to people, and costs nothing before it is used.
        self.encoder = ProcessExecutor(threads=os.cpu_count())

    def __len__(self) -> int:
        return len(self._team)

    def have_room_for(self, path: Path | None) -> bool:
        """Whether each of them and the encoder can hold this model. Not where a single one would keep people waiting
        while it opens it, and not with a GPU, whose memory is for one copy."""
        if len(self) < 2 or has_gpu():
            return False
        return (len(self) + 1) * COPY * _size(path) <= SHARE * psutil.virtual_memory().available

    def load(self, choice: PromptChoice) -> None:
        """An instant model is in every worker when this returns. Raises what loading raises."""
        try:
            self._team.each(load, choice)
        except BrokenExecutor as error:  # the next prompt starts another one
            log.warning("a prompt worker died while it loaded its model (%s)", error)

    def open(self, file: ModelFile) -> ModelFile:
        """Under the name that it has on this machine it is in every process when this returns; the workers open it one
        after another, so that people are answered meanwhile. A process that dies is replaced once. Raises what opening
        raises, ValueError where another one dies."""
        for _ in range(2):
            try:
                named = replace(file, model_id=self.encoder.submit(load, file).result())
                self._team.each_in_turn(load, named)
                return named
            except BrokenExecutor as error:
                log.warning("a process died while it opened a model (%s)", error)
        raise ValueError(TOO_LARGE)

    def forget(self) -> None:
        """What `open` opened leaves the workers' memory."""
        try:
            self._team.each_in_turn(forget)
        except (BrokenExecutor, ValueError) as error:  # then its memory is free as well
            log.warning("a prompt worker died while it dropped a model (%s)", error)

    def answer(self, what: AnyModel, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
        """As `Answerer.answer`; of a model that needs embeddings each question brings its own."""
        try:
            return self._team.call(answer, what, questions)
        except BrokenExecutor as error:
            log.warning("a prompt worker died (%s); another one takes its prompts", error)
        return [self._once_more(what, question) for question in questions]

    def measure(self, choice: PromptChoice) -> Speed | None:
        return self._team.call(measured, choice)

    def call(self, fn: Callable[..., Result], *args: Any) -> Result:
        """In a free worker. Raises what it raises, BrokenExecutor."""
        return self._team.call(fn, *args)

    def close(self) -> None:
        self.encoder.kill()
        self._team.kill()

    def _once_more(self, what: AnyModel, question: Question) -> PackedAnswer | Exception:
        try:
            return self._team.call_awake(answer, what, [question])[0]
        except BrokenExecutor:
            return ValueError(GIVEN_UP)
        except ValueError as error:
            return error


def _size(path: Path | None) -> int:
    """Bytes of a checkpoint, which may be a folder."""
    if path is None:
        return 0
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
