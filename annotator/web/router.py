"""All routes of the server put together."""

from typing import TYPE_CHECKING

from fastapi import APIRouter, WebSocket
from starlette.responses import JSONResponse, Response

from annotator.access.guard import MANIFEST
from annotator.access.session_routes import make_router as make_session_list
from annotator.access.sign_in_page import make_router as make_sign_in
from annotator.access.token_routes import make_router as make_tokens
from annotator.monitoring.routes import make_router as make_monitoring
from annotator.scenes import routes as scenes
from annotator.web import api_jobs, api_pixels, api_project, api_repair, api_tags, api_uploads
from annotator.web.context import AppContext
from annotator.web.websocket import serve_tab

if TYPE_CHECKING:
    from annotator.background import Background

INSTALLABLE = {"name": "Slicewise", "short_name": "Slicewise", "start_url": ".", "display": "standalone"}


def make_router(context: AppContext) -> APIRouter:
    """What there is in every server."""
    router = APIRouter()
    router.include_router(make_sign_in(context.sign_in))
    router.include_router(make_session_list(context.sessions))
    router.include_router(make_tokens(context.sessions))
    router.include_router(make_monitoring(context))
    for part in (api_project, api_pixels, api_jobs, api_uploads, api_tags, api_repair, scenes):
        router.include_router(part.make_router(context))

    @router.get(MANIFEST)
    async def manifest() -> Response:
        return JSONResponse(INSTALLABLE, headers={"cache-control": "public, max-age=86400"})

    @router.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
        cookies = socket.headers.get("cookie", "")
        sessions = context.sessions
        await serve_tab(socket, context, lambda: sessions.read(cookies) is not None)

    return router


def make_background_router(context: AppContext, background: "Background") -> APIRouter:
    """Of what proposes labels while people work."""
    from annotator.web import api_learning, api_models, api_proposals  # bring the learners along

    router = APIRouter()
    router.include_router(api_proposals.make_router(context, background))
    router.include_router(api_learning.make_router(context, background.scheduler))
    router.include_router(api_models.make_router(context, background.scheduler))
    return router
