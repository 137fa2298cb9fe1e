"""`GET /healthz` without sign-in and without secrets, `GET /metrics` for administrators and for Prometheus."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from annotator.access.guard import HEALTH, METRICS
from annotator.monitoring.health import WELL, Health
from annotator.monitoring.state_gauges import StateGauges
from annotator.web.context import AppContext, administers

BEARER = "bearer "
REFUSED = "Metrics are for administrators: sign in as one, or send `Authorization: Bearer TOKEN`."


def make_router(context: AppContext) -> APIRouter:
    router, registry = APIRouter(), context.meters.registry
    health = Health(context.workflow.store)
    registry.register(StateGauges(context))
    ProcessCollector(registry=registry)  # processor time, memory and open files of the server, on Linux

    @router.api_route(HEALTH, methods=["GET", "HEAD"])
    async def healthz() -> Response:
        word = await health.word()
        return PlainTextResponse(word + "\n", 200 if word == WELL else 503, {"cache-control": "no-store"})

    @router.get(METRICS)
    async def metrics(request: Request) -> Response:
        if not await run_sync(_may_read, context, request):
            return JSONResponse({"error": REFUSED}, 403)
        text = await run_sync(generate_latest, registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})

    return router


def _may_read(context: AppContext, request: Request) -> bool:
    if administers(context, request):
        return True
    said = request.headers.get("authorization", "")
    return said.lower().startswith(BEARER) and context.sessions.metrics_token.fits(
        said[len(BEARER) :].strip()
    )
