"""Tags over HTTP; see "Tags" in docs/protocol.md. A handler is one call."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import Field
from starlette.responses import Response

from annotator.labels.tag_advice import advice
from annotator.labels.tagging import Tagging
from annotator.protocol.incoming import MAX_ID, MAX_INDEX
from annotator.web.api_project import ImageId, Parts, RequestBody, person
from annotator.web.thumbnails import thumbnail
from storage.arrays import SliceRef
from storage.tags import TagBatch

MAX_TILES = 500  # slices in one act, and tiles in one answer
Act = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,54}$")]
Ids = Annotated[list[Annotated[int, Field(ge=1, le=253)]], Field(max_length=253)]
SliceIndex = Annotated[int, Field(ge=0, le=MAX_INDEX)]


class PlaceBody(RequestBody):
    image: Annotated[int, Field(ge=1, le=MAX_ID)]
    axis: Annotated[int, Field(ge=0, le=2)] = 0
    index: SliceIndex


class TagBody(RequestBody):
    id: Act
    places: Annotated[list[PlaceBody], Field(min_length=1, max_length=MAX_TILES)]
    present: Ids = []
    absent: Ids = []
    seconds: Annotated[float, Field(ge=0, lt=86400, allow_inf_nan=False)] = 0.0


class Undone(RequestBody):
    id: Act


def make_router(parts: Parts) -> APIRouter:
    router, workflow = APIRouter(prefix="/api"), parts.workflow
    tagging = Tagging(workflow.store)

    def changed(items: list[dict[str, Any]]) -> dict[str, Any]:
        if workflow.background is not None:
            workflow.background.scheduler.notify()
        return {"items": items}

    @router.get("/tags")
    async def page(
        offset: Annotated[int, Query(ge=0, le=MAX_INDEX)] = 0,
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
    async def undo(request: Request, undone: Undone) -> Any:
        return changed(await run_sync(tagging.undo, person(request), undone.id))

    @router.get("/thumbnails/{image_id}/{axis}/{index}")
    async def small(
        request: Request,
        image_id: ImageId,
        axis: Annotated[int, InPath(ge=0, le=2)],
        index: Annotated[int, InPath(ge=0, le=MAX_INDEX)],
    ) -> Response:
        """The image of a number never changes within a project, and the address names the project."""
        fixed = request.query_params.get("project") == parts.sessions.project_id
        cache = "private, max-age=31536000, immutable" if fixed else "private, no-cache"
        ref = SliceRef(image_id, axis, index)
        content = await run_sync(thumbnail, workflow.store, ref, limiter=parts.reading)
        return Response(content, media_type="image/webp", headers={"cache-control": cache})

    return router
