"""What all routes and websockets of a server share."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from fastapi import Request, WebSocket

from annotator.access.sessions import SESSION_KEY, Sessions, user_of
from annotator.access.sign_in import SignIn
from annotator.jobs import Jobs
from annotator.monitoring.meters import Meters
from annotator.prompting.prompt_line import PromptLine
from annotator.protocol import outgoing
from annotator.protocol.incoming import PredictMessage
from annotator.protocol.outgoing import Message
from annotator.web.compression import CompressedCache
from annotator.web.errors import AdministratorsOnly, describe_error
from annotator.web.hub import Hub, Tab
from annotator.web.uploads import Uploads
from annotator.workflow import Workflow
from learners.give_way import PeopleWait

TabPrompt = tuple[PredictMessage, bytes]  # with its payload
MaskReply = tuple[Message, bytes]
READERS = 4  # slabs read and compressed at once


@dataclass
class AppContext:
    """One of each for a server."""

    workflow: Workflow
    hub: Hub
    jobs: Jobs
    sessions: Sessions
    uploads: Uploads
    exports: Path  # finished exports wait here to be fetched
    meters: Meters = field(default_factory=Meters)
    people_wait: PeopleWait = field(default_factory=lambda: PeopleWait(None))  # learners pause for them
    compressed: CompressedCache = field(default_factory=CompressedCache)
    reading: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(READERS))
    # One commit after another, and its regions leave before the next: a tab never sees an older state last.
    committing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Whoever signs in, and the line of tabs that wait for masks."""
        self.sign_in = SignIn(self.sessions)
        self.prompts: PromptLine[Tab, TabPrompt, MaskReply] = PromptLine(
            partial(_mask_replies, self.workflow, self.people_wait),
            self._tell_mask,
            self.workflow.prompting.servers,
        )

    def _tell_mask(self, tab: Tab, _: TabPrompt, told: MaskReply) -> None:
        tab.say(*told)
        self.meters.prompted(told[0], tab.asked or time.monotonic())
        tab.asked = None


def _mask_replies(workflow: Workflow, people_wait: PeopleWait, asked: Sequence[TabPrompt]) -> list[MaskReply]:
    """To each its masks, or a refusal in words."""
    try:
        with people_wait:
            answers = workflow.predict_together(asked)
    except Exception as error:
        answers = [error] * len(asked)
    return [_mask_reply(message.seq, answer) for (message, _), answer in zip(asked, answers, strict=True)]


def _mask_reply(seq: int, answer: MaskReply | Exception) -> MaskReply:
    if not isinstance(answer, Exception):
        return answer
    fault = describe_error(answer)
    answer.with_traceback(None)
    return outgoing.refused(fault.line, retry=fault.retry, seq=seq), b""


def person(connection: Request | WebSocket) -> str:
    """Who asks; the guard lets nobody else through."""
    user = user_of(connection)
    if user is None:
        raise PermissionError("the guard let a stranger through")
    return user


def administers(context: AppContext, request: Request) -> bool:
    """Whether an administrator asks. Reads the accounts."""
    session = request.scope.get(SESSION_KEY)
    return session is not None and context.sessions.is_administrator(session)


async def check_may_end(context: AppContext, request: Request, what: str, starter: str) -> None:
    """What a person started, that person and administrators may end, and nobody else. `starter`: who began it, "" for
    the app itself. Raises AdministratorsOnly."""
    if starter and starter == person(request):
        return
    if await run_sync(administers, context, request):
        return
    if not starter:
        raise AdministratorsOnly(
            f"nobody who is signed in started this {what}, so ask an administrator to end it"
        )
    raise AdministratorsOnly(f"{starter} started this {what}, so ask {starter} or an administrator to end it")


def cache_control(context: AppContext, request: Request) -> str:
    """How long a browser may keep the pixels of an image.

    Another project may come to this address tomorrow: only an address that names the project never changes.
    """
    fixed = request.query_params.get("project") == context.sessions.project_id
    return "private, max-age=31536000, immutable" if fixed else "private, no-cache"


def empty_folder(folder: Path) -> Path:
    """A folder with nothing left in it from before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
