"""What the background says reaches the pages that show it, and not more often than a person can read."""

import asyncio
from typing import Any

from annotator.protocol import outgoing
from annotator.protocol.outgoing import Message, RoundState
from annotator.web.news import News


class HeardByPages:
    """What is sent, and to pages on which image; None for all."""

    def __init__(self) -> None:
        self.heard: list[tuple[Message, int | None]] = []

    def __call__(self, message: Message, *, image: int | None = None) -> None:
        self.heard.append((message, image))


def status(step: int, state: RoundState = "running", round: int = 7) -> Message:
    progress: Any = outgoing.round_progress(True, phase="train", step=step, loss=0.5, seconds_left=3.0)
    about: dict[str, Any] = {"title": "Supervised", "dice": None, "behind": True, "message": ""}
    return outgoing.round_status("supervised", state=state, round=round, progress=progress, **about)


def test_progress_of_a_round_comes_now_and_then_and_the_newest_is_never_lost():
    async def said() -> HeardByPages:
        pages = HeardByPages()
        news = News(pages, seconds=0.01)
        for step in range(500):
            news.tell(status(step))
        while len(pages.heard) < 2:
            await asyncio.sleep(0.005)
        news.tell(status(499))  # nothing new
        await asyncio.sleep(0.05)
        return pages

    heard = asyncio.run(said()).heard
    assert [message["step"] for message, _ in heard] == [0, 499]


def test_a_round_that_ends_is_told_at_once_and_nothing_older_comes_after_it():
    async def said() -> HeardByPages:
        pages = HeardByPages()
        news = News(pages, seconds=0.01)
        for message in (status(1), status(2), status(2, "idle")):
            news.tell(message)
        assert [m["state"] for m, _ in pages.heard] == ["running", "idle"]
        await asyncio.sleep(0.05)
        return pages

    assert asyncio.run(said()).heard[-1][0]["state"] == "idle"


def test_only_pages_on_an_image_hear_how_far_its_fill_is_and_all_hear_how_it_ended():
    async def said() -> HeardByPages:
        pages = HeardByPages()
        news = News(pages)
        news.tell(outgoing.fill(3, "running", progress=0.5))
        news.tell(outgoing.fill(3, "done", prediction=9))
        return pages

    assert [(m["state"], image) for m, image in asyncio.run(said()).heard] == [("running", 3), ("done", None)]
