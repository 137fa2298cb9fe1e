"""Scenes over HTTP: their overviews, the grid of regions, and opening one; see docs/protocol.md."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from annotator.protocol import outgoing
from annotator.protocol.incoming import Index
from annotator.web.bodies import RequestBody
from annotator.web.context import AppContext, cache_control

MOST = 1 << 20  # regions along an axis


class RegionBody(RequestBody):
    at: Annotated[list[Annotated[int, Field(ge=0, lt=MOST)]], Field(min_length=3, max_length=3)]


def make_router(context: AppContext) -> APIRouter:
    router, workflow = APIRouter(prefix="/api/scenes"), context.workflow

    @router.get("/{scene_id}")
    async def scene(scene_id: Index) -> Any:
        return await run_sync(workflow.scenes.map, scene_id)

    @router.get("/{scene_id}/overview/{slab}")
    async def overview(request: Request, scene_id: Index, slab: Index) -> Response:
        picture = await run_sync(workflow.store.scenes.overview, scene_id, slab)
        return Response(
            picture, media_type="image/webp", headers={"cache-control": cache_control(context, request)}
        )

    @router.post("/{scene_id}/open")
    async def open_region(scene_id: Index, body: RegionBody) -> Any:
        slab, line, place = body.at
        opened = await run_sync(workflow.scenes.open, scene_id, (slab, line, place))
        if opened.new:
            await run_sync(workflow.imported, {opened.image})
            context.hub.broadcast(outgoing.project())
        return {"image": opened.image, "problem": opened.problem}

    return router
