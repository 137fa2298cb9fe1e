"""Pixels and labels over HTTP, compressed; see docs/protocol.md. A handler is one call to the workflow, in a thread."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from starlette.responses import Response

from annotator.protocol.incoming import Axis, ImageId, Index
from annotator.web.compression import compressed_response, deflate
from annotator.web.context import AppContext, cache_control
from annotator.workflow import Workflow
from storage.arrays import SliceRef
from storage.channels.named import MAX_CHANNELS

MAX_SLAB_BYTES = 256 << 20
ChannelNumber = Annotated[int | None, Query(ge=0, lt=MAX_CHANNELS)]  # None: the picture of all of them


def make_router(context: AppContext) -> APIRouter:
    router, workflow = APIRouter(prefix="/api"), context.workflow

    @router.get("/images/{image_id}/pixels")
    async def pixels(
        request: Request, image_id: ImageId, z0: Index, z1: Index, channel: ChannelNumber = None
    ) -> Response:
        await run_sync(_check_size, workflow, image_id, z1 - z0)
        name = f"{image_id}-{z0}-{z1}{_of(channel)}"
        wanted = PixelRequest(name, lambda: workflow.pixels(image_id, z0, z1, channel))
        return await _send_pixels(context, request, wanted)

    @router.get("/images/{image_id}/slice/{axis}/{index}")
    async def one_slice(
        request: Request,
        image_id: ImageId,
        axis: Axis,
        index: Index,
        channel: ChannelNumber = None,
    ) -> Response:
        ref = SliceRef(image_id, axis, index)
        name = f"{image_id}-s{axis}-{index}{_of(channel)}"
        wanted = PixelRequest(name, lambda: workflow.slice(ref, channel))
        return await _send_pixels(context, request, wanted)

    @router.get("/images/{image_id}/labels")
    async def labels(request: Request, image_id: ImageId, z0: Index, z1: Index) -> Response:
        return await _send_labels(context, request, lambda: workflow.labels(image_id, z0, z1))

    @router.get("/images/{image_id}/instances")
    async def instances(request: Request, image_id: ImageId, z0: Index, z1: Index) -> Response:
        return await _send_labels(context, request, lambda: workflow.instances(image_id, z0, z1))

    return router


def _of(channel: int | None) -> str:
    return "" if channel is None else f"-c{channel}"


@dataclass(frozen=True)
class PixelRequest:
    """Pixels that somebody asks for: their name within the project, and how to read them."""

    name: str
    read: Callable[[], NDArray[Any]]


async def _send_pixels(context: AppContext, request: Request, wanted: PixelRequest) -> Response:
    etag = f'"{context.sessions.project_id}-{wanted.name}"'
    headers = {"etag": etag, "cache-control": cache_control(context, request)}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = await run_sync(context.compressed.get, wanted.name, wanted.read, limiter=context.reading)
    return compressed_response(request, content, headers)


async def _send_labels(
    context: AppContext, request: Request, read: Callable[[], tuple[NDArray[Any], int]]
) -> Response:
    def deflated() -> tuple[bytes | NDArray[Any], int]:
        array, revision = read()
        return deflate(array), revision

    content, revision = await run_sync(deflated, limiter=context.reading)
    return compressed_response(request, content, {"x-revision": str(revision), "cache-control": "no-store"})


def _check_size(workflow: Workflow, image_id: int, slices: int) -> None:
    """One slice always; of several no more than a browser can swallow at once."""
    image = workflow.store.image(image_id)
    each = image.shape[1] * image.shape[2] * image.channels * 4
    if slices > 1 and slices * each > MAX_SLAB_BYTES:
        raise ValueError(
            f"{slices} slices of this image are too much at once; ask for {MAX_SLAB_BYTES // each or 1}"
        )
