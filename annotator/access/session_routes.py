"""One's own sessions: where one is signed in, and signing out there."""

from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import Field

from annotator.access.session_list import OpenSession
from annotator.access.sessions import Session, Sessions, session_of
from annotator.web.bodies import RequestBody

SessionKey = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class EndBody(RequestBody):
    id: SessionKey | None = None  # none: all others


def make_router(sessions: Sessions) -> APIRouter:
    router = APIRouter(prefix="/api/sessions")

    @router.get("")
    async def mine(request: Request) -> Any:
        session = session_of(request)
        return {"sessions": [_row(row, session) for row in sessions.of(session.user)]}

    @router.post("/end")
    async def end(request: Request, body: EndBody) -> Any:
        session = session_of(request)
        if body.id is None:
            await run_sync(sessions.end_others, session)
        else:
            await run_sync(sessions.end_one, session, body.id)
        return {"sessions": [_row(row, session) for row in sessions.of(session.user)]}

    return router


def _row(row: OpenSession, mine: Session) -> dict[str, Any]:
    about = {"id": row.key, "browser": row.browser, "address": row.address, "this": row.key == mine.key}
    return {**about, "since": _utc(row.since), "seen": _utc(row.seen)}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
