"""Other tools on the page: their addresses, and one's own tokens for them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import Field

from annotator.access.program_tokens import LONGEST_NOTE, ProgramToken
from annotator.access.sessions import Sessions, session_of
from annotator.dialects import offered
from annotator.web.bodies import RequestBody

TokenId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class NewTokenBody(RequestBody):
    note: Annotated[str, Field(min_length=1, max_length=LONGEST_NOTE)]


class RevokeBody(RequestBody):
    id: TokenId


def make_router(sessions: Sessions) -> APIRouter:
    router = APIRouter(prefix="/api/tools")

    def facts(user: str) -> dict[str, Any]:
        tokens = [_row(token) for token in sessions.tokens.of(user) if sessions.holds(user, token.stamp)]
        return {"tools": offered(sessions.serve), "tokens": tokens, "needed": not sessions.lets_local_in}

    @router.get("")
    async def mine(request: Request) -> Any:
        return facts(session_of(request).user)

    @router.post("/token")
    async def make(request: Request, body: NewTokenBody) -> Any:
        session = session_of(request)
        _, secret = await run_sync(sessions.tokens.make, session.user, session.stamp, body.note)
        return {**facts(session.user), "secret": secret}

    @router.post("/revoke")
    async def revoke(request: Request, body: RevokeBody) -> Any:
        user = session_of(request).user
        await run_sync(sessions.tokens.revoke, user, body.id)
        return facts(user)

    return router


def _row(token: ProgramToken) -> dict[str, Any]:
    used = datetime.fromtimestamp(token.used, UTC).date().isoformat() if token.used else None
    made = datetime.fromtimestamp(token.made, UTC).isoformat(timespec="seconds")
    return {"id": token.id, "note": token.note, "made": made, "used": used}
