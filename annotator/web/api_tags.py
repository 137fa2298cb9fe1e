"""Tags over HTTP; see "Tags" in docs/protocol.md. A handler is one call."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from annotator.labels.tag_advice import advice
from annotator.labels.tagging import Tagging
from annotator.protocol.incoming import Axis, ImageId, Index, Seconds
from annotator.protocol.outgoing import Message
from annotator.web.bodies import ClassId, RequestBody
from annotator.web.context import AppContext, cache_control, person
from annotator.web.thumbnails import thumbnail
from storage.arrays import SliceRef
from storage.tags import TagBatch

MAX_TILES = 500  # slices in one act, and tiles in one answer
ActId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,54}$")]
ClassIds = Annotated[list[ClassId], Field(max_length=253)]


class PlaceBody(RequestBody):
    image: ImageId
    axis: Axis = 0
    index: Index


class TagBody(RequestBody):
    id: ActId
    places: Annotated[list[PlaceBody], Field(min_length=1, max_length=MAX_TILES)]
    present: ClassIds = []
    absent: ClassIds = []
    seconds: Seconds = 0.0


class UndoBody(RequestBody):
    id: ActId


def make_router(context: AppContext) -> APIRouter:
    router, workflow = APIRouter(prefix="/api"), context.workflow
    tagging = Tagging(workflow.store)

    def changed(items: list[Message]) -> Message:
        if workflow.background is not None:
            workflow.background.scheduler.notify()
        return {"items": items}

    @router.get("/tags")
    async def page(
        offset: Index = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_TILES)] = 60,
        every: Annotated[int, Query(ge=1, le=1000)] = 1,
        untagged: bool = False,
    ) -> Any:
        return await run_sync(lambda: tagging.page(offset, limit, every=every, untagged=untagged))

    @router.get("/tags/advice")
    async def advised() -> Any:
        return await run_sync(advice, workflow.store)

    @router.post("/tags")
    async def say(request: Request, tagged: TagBody) -> Any:
        if both := set(tagged.present) & set(tagged.absent):
            raise ValueError(f"class {min(both)} cannot be there and not be there; choose one")
        said = {**dict.fromkeys(tagged.present, True), **dict.fromkeys(tagged.absent, False)}
        places = [(p.image, p.axis, p.index) for p in tagged.places]
        by = TagBatch(tagged.id, person(request), seconds=tagged.seconds)
        return changed(await run_sync(tagging.add, places, said, by))

    @router.post("/tags/undo")
    async def undo(request: Request, body: UndoBody) -> Any:
        return changed(await run_sync(tagging.undo, person(request), body.id))

    @router.get("/thumbnails/{image_id}/{axis}/{index}")
    async def small(
        request: Request,
        image_id: ImageId,
        axis: Axis,
        index: Index,
    ) -> Response:
        ref = SliceRef(image_id, axis, index)
        content = await run_sync(thumbnail, workflow.store, ref, limiter=context.reading)
        return Response(
            content, media_type="image/webp", headers={"cache-control": cache_control(context, request)}
        )

    return router
