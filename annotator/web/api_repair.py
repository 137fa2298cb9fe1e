"""Repair over HTTP: whole acts undone and redone, images deleted, brought back, renamed and given a spacing. A handler
is one call."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import Field

from annotator.labels.repair import Repaired
from annotator.protocol import outgoing
from annotator.protocol.incoming import ClientId, ImageId
from annotator.web.bodies import Name, RequestBody
from annotator.web.context import AppContext, person
from annotator.web.hub import ChangedImages

Millimetres = Annotated[float, Field(gt=0, le=1e4, allow_inf_nan=False)]


class KeyBody(RequestBody):
    key: ClientId | None = None  # of this change: sent again, it gets the same answer


class ImagesBody(KeyBody):
    images: Annotated[list[ImageId], Field(min_length=1, max_length=100_000)]


class RenameBody(KeyBody):
    name: Name


class SpacingBody(KeyBody):
    spacing_mm: Annotated[list[Millimetres], Field(min_length=3, max_length=3)]  # z, y, x


class OrientationBody(KeyBody):
    ends: Annotated[
        list[Literal["R", "L", "A", "P", "S", "I"]], Field(min_length=3, max_length=3)
    ]  # low z, y, x


class FramesBody(ImagesBody):
    frames: bool  # their slices are frames in time; else depth


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter(prefix="/api")
    repair = context.workflow.repair

    @router.get("/acts")
    async def acts() -> Any:
        return {"acts": await run_sync(repair.acts), "bin": await run_sync(repair.binned)}

    @router.post("/acts/{act_id}/{turn}")
    async def turn(request: Request, act_id: ImageId, turn: Literal["undo", "redo"], body: KeyBody) -> Any:
        work = repair.undo if turn == "undo" else repair.redo
        user = person(request)
        return await _do(context, user, lambda: work(user, act_id, body.key or ""))

    @router.post("/bin/empty")
    async def empty(request: Request) -> Any:
        return await _do(context, person(request), repair.empty_bin)

    _add_images(router, context)
    return router


def _add_images(router: APIRouter, context: AppContext) -> None:
    repair = context.workflow.repair

    @router.post("/images/delete")
    async def delete(request: Request, body: ImagesBody) -> Any:
        user = person(request)
        return await _do(context, user, lambda: repair.delete(user, body.images, body.key or ""))

    @router.post("/images/restore")
    async def restore(request: Request, body: ImagesBody) -> Any:
        user = person(request)
        return await _do(context, user, lambda: repair.bring_back(user, body.images, body.key or ""))

    @router.post("/images/frames")
    async def frames(request: Request, body: FramesBody) -> Any:
        user = person(request)
        return await _do(
            context, user, lambda: repair.set_frames(user, body.images, body.frames, body.key or "")
        )

    @router.post("/images/{image_id}/rename")
    async def rename(request: Request, image_id: ImageId, body: RenameBody) -> Any:
        user = person(request)
        return await _do(context, user, lambda: repair.rename(user, image_id, body.name, body.key or ""))

    @router.post("/images/{image_id}/spacing")
    async def spacing(request: Request, image_id: ImageId, body: SpacingBody) -> Any:
        user, (z, y, x) = person(request), body.spacing_mm
        return await _do(context, user, lambda: repair.set_spacing(user, image_id, (z, y, x), body.key or ""))

    @router.post("/images/{image_id}/orientation")
    async def orientation(request: Request, image_id: ImageId, body: OrientationBody) -> Any:
        user, (z, y, x) = person(request), body.ends
        return await _do(
            context, user, lambda: repair.set_orientation(user, image_id, (z, y, x), body.key or "")
        )


async def _do(context: AppContext, user: str, work: Callable[[], Repaired]) -> Any:
    """Between two commits; every page reads the project anew, and tabs on these images their labels."""
    async with context.committing:
        done = await run_sync(work)
        await run_sync(context.workflow.imported, set(done.images))
        await run_sync(context.workflow.refill, done.unfilled)
        there = frozenset(await run_sync(context.workflow.store.image_states.ids))
    context.hub.broadcast(outgoing.project())
    context.hub.tell_images(ChangedImages(done.images, done.images - there, done.became), user)
    context.hub.reconnect(done.images & there)  # of an image that is gone there is nothing to read
    return {"message": done.message}
