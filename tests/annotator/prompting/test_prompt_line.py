"""The line of tabs that wait for masks: the newest question alone, turns, and nobody passed by."""

import asyncio
import threading
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.prompting.prompt_line import MOST_TOGETHER, PromptLine


class Desk:
    """Answers when it is told to; keeps what was asked at once, and what was told to whom."""

    def __init__(self, servers: int = 1) -> None:
        self.calls: list[list[int]] = []
        self.told: list[tuple[str, int]] = []
        self.gate, self.begun = threading.Event(), threading.Semaphore(0)
        self.line: PromptLine[str, int, int] = PromptLine(
            self._answer, lambda who, asked, told: self.told.append((who, told)), servers
        )

    def _answer(self, asked: Sequence[int]) -> list[int]:
        self.calls.append(list(asked))
        self.begun.release()
        assert self.gate.wait(20)
        return [-one for one in asked]

    async def begins(self, count: int = 1) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.begun.acquire, timeout=20)

    async def finish(self) -> None:
        self.gate.set()
        async with asyncio.timeout(20):
            while self.line.busy:
                await asyncio.sleep(0.001)


def test_the_newest_question_is_answered_in_the_place_of_the_older_one():
    async def play() -> Desk:
        desk = Desk()
        desk.line.ask("first", 1)
        await desk.begins()
        for who, asked in (("ann", 10), ("bob", 20), ("cy", 30), ("ann", 11), ("ann", 12)):
            desk.line.ask(who, asked)
        await desk.finish()
        return desk

    desk = asyncio.run(play())
    assert desk.calls == [[1], [12, 20, 30]]
    assert desk.told == [("first", -1), ("ann", -12), ("bob", -20), ("cy", -30)]


def test_an_answer_that_nobody_waits_for_any_more_is_not_told_and_who_left_is_not_served():
    async def play() -> Desk:
        desk = Desk()
        desk.line.ask("ann", 1)
        await desk.begins()
        desk.line.ask("ann", 2)
        desk.line.ask("bob", 3)
        desk.line.leave("bob")
        await desk.finish()
        return desk

    assert asyncio.run(play()).told == [("ann", -2)]


def test_the_line_is_shared_among_all_who_serve_and_no_call_grows_beyond_its_bound():
    async def play() -> Desk:
        desk = Desk(servers=2)
        desk.line.ask("a", 1)
        desk.line.ask("b", 2)
        await desk.begins(2)
        for n in range(30):
            desk.line.ask(f"tab {n}", 100 + n)
        await desk.finish()
        return desk

    desk = asyncio.run(play())
    assert sorted(desk.calls[:2]) == [[1], [2]]
    assert max(map(len, desk.calls)) == MOST_TOGETHER
    assert len(desk.told) == 32


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.integers(1, 3))
def test_in_whatever_order_people_ask_the_last_question_of_each_is_answered_once(
    askers: list[int], servers: int
):
    async def play() -> Desk:
        desk = Desk(servers)
        for n, who in enumerate(askers):
            desk.line.ask(str(who), n)
            if n % 5 == 0:
                await asyncio.sleep(0)
        await desk.finish()
        return desk

    desk = asyncio.run(play())
    last = {str(who): -n for n, who in enumerate(askers)}
    assert {who: answer for who, answer in desk.told if answer == last[who]} == last
    assert len(desk.told) == len(set(desk.told))
