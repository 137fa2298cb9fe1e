"""The routes of nnInteractive's server, as its client 2.6 calls them."""

import json
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import PlainTextResponse, Response

from annotator.dialects.nninteractive.answering import answer
from annotator.dialects.nninteractive.asked import (
    BoxAsked,
    Buffer,
    PointAsked,
    bounds_of,
    mask_asked,
    told_in,
    voxel_of,
    whole_mask,
)
from annotator.dialects.nninteractive.drawing import Drawing, changed_bounds
from annotator.dialects.nninteractive.image import subject_of_array
from annotator.dialects.nninteractive.leases import IDLE_SECONDS, LIVELY_SECONDS, Lease, Leases
from annotator.dialects.nninteractive.wire import LEASE, META, pack, unpack
from annotator.web.context import AppContext, person
from storage.formats import FileRefused

CHANNELS = {
    "prev_seg": 0,
    "bbox2d": [1, 2],
    "bbox3d": [1, 2],
    "lasso": [1, 2],
    "points": [3, 4],
    "scribble": [5, 6],
}
CAPABILITIES: dict[str, Any] = {
    "supported_interactions": dict.fromkeys(("points", "bbox2d", "bbox3d", "scribble", "lasso"), True),
    "channel_mapping": CHANNELS,
    "num_interaction_channels": 7,
    "supports_initial_label": True,
    "supports_zero_shot_label_refinement": True,
    "preferred_scribble_thickness": [2, 2, 2],
    "interaction_decay": None,
    "patch_size": None,
    "do_autozoom": False,
    "inference_session_version": 2,
    "license": "Apache-2.0 (Slicewise; the prompt model that is chosen may have another)",
    "supports_undo": True,
}
DrawingChange = Callable[[Drawing], Drawing]


def make_router(context: AppContext) -> APIRouter:
    router, desk = APIRouter(), _Desk(context)
    _add_leases(router, desk)
    _add_image(router, desk)
    _add_prompts(router, desk)
    _add_masks(router, desk)
    return router


class _Desk:
    """One for a server."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.leases = Leases(context.exports / "nninteractive")

    def lease(self, request: Request, *, acts: bool = True) -> Lease:
        lease = self.leases.of(person(request), request.headers.get(LEASE, ""))
        if acts:
            lease.used = time.monotonic()
        return lease

    async def array(
        self, request: Request, lease: Lease, shape: tuple[int, ...] | None = None
    ) -> NDArray[Any]:
        """The body, by way of the disk."""
        path = lease.folder / f"{secrets.token_hex(8)}.body"
        try:
            with open(path, "wb") as file:
                async for part in request.stream():
                    file.write(part)
            return await run_sync(_unpacked, path, shape)
        finally:
            path.unlink(missing_ok=True)

    async def prompt(self, lease: Lease, change: DrawingChange, *, predict: bool) -> Response:
        """A step that undo takes back."""
        async with lease.busy:
            _, before = lease.work()
            now = await run_sync(change, before)
            if predict:
                now = await answer(self.context.workflow, lease, now)
            lease.take(now)
            return await run_sync(_changes, lease.dtype, before, now, predict)

    async def predict(self, lease: Lease) -> Response:
        async with lease.busy:
            _, before = lease.work()
            now = await answer(self.context.workflow, lease, before)
            lease.take(now, step=False)
            return await run_sync(_changes, lease.dtype, before, now, True)


def _unpacked(path: Path, shape: tuple[int, ...] | None) -> NDArray[Any]:
    try:
        return unpack(path, shape)
    except FileRefused as refusal:
        raise ValueError(f"the array is refused: {refusal}") from None


def _changes(dtype: str, before: Drawing, now: Drawing, ran: bool) -> Response:
    """Only what changed goes over the wire."""
    bounds = changed_bounds(before.mask, now.mask)
    meta: dict[str, Any] = {"ran_prediction": ran, "bbox": None, "ms": round(now.ms, 1)}
    body = b""
    if bounds is not None:
        part = now.mask[tuple(slice(low, high) for low, high in bounds)].astype(dtype)
        meta |= {"bbox": bounds, "dtype": dtype, "shape": part.shape}
        body = pack(part)
    return Response(body, media_type="application/octet-stream", headers={META: json.dumps(meta)})


def _add_leases(router: APIRouter, desk: _Desk) -> None:
    @router.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("ok")

    @router.post("/claim")
    async def claim(request: Request) -> Any:
        lease = desk.leases.claim(person(request))
        times = {"idle_timeout_seconds": IDLE_SECONDS, "liveness_timeout_seconds": LIVELY_SECONDS}
        return {"lease_token": lease.token, **times}

    @router.post("/release")
    async def release(request: Request) -> Any:
        desk.leases.release(person(request), request.headers.get(LEASE, ""))
        return {"released": True}

    @router.post("/heartbeat")
    async def heartbeat(request: Request) -> Any:
        return {"remaining_seconds": desk.lease(request, acts=False).remaining}

    @router.get("/lease_status")
    async def lease_status(request: Request) -> Any:
        remaining = desk.lease(request, acts=False).remaining
        return {"remaining_seconds": remaining, "idle_timeout_seconds": IDLE_SECONDS}

    @router.get("/capabilities")
    async def capabilities(request: Request) -> Any:
        desk.lease(request)
        return CAPABILITIES


def _add_image(router: APIRouter, desk: _Desk) -> None:
    @router.post("/set_image")
    async def set_image(request: Request) -> Any:
        lease, told = desk.lease(request), told_in(request.headers.get(META))
        async with lease.busy:
            array = await desk.array(request, lease)
            subject, axis = await run_sync(subject_of_array, lease.folder, array, told)
            lease.take_image(subject, Drawing.empty(subject.shape, axis))
        return {"original_image_shape": array.shape}

    @router.post("/set_target_buffer")
    async def set_target_buffer(request: Request, body: Buffer) -> Any:
        lease = desk.lease(request)
        async with lease.busy:
            subject, drawing = lease.work()
            if tuple(body.shape) != subject.shape:
                raise ValueError(f"the image has {subject.shape} voxels and the buffer {tuple(body.shape)}")
            lease.dtype = body.dtype
            lease.take_image_again(Drawing.empty(subject.shape, drawing.axis))
        return {}

    @router.post("/reset_interactions")
    async def reset_interactions(request: Request) -> Any:
        lease = desk.lease(request)
        async with lease.busy:
            subject, drawing = lease.work()
            lease.take_image_again(Drawing.empty(subject.shape, drawing.axis))
        return {}

    @router.post("/set_do_autozoom")
    async def set_do_autozoom(request: Request) -> Any:
        desk.lease(request)  # nothing here zooms
        return {}

    @router.post("/undo")
    async def undo(request: Request) -> Response:
        lease = desk.lease(request)
        async with lease.busy:
            _, before = lease.work()
            if not lease.undo:
                return await run_sync(_changes, lease.dtype, before, before, False)
            lease.drawing = lease.undo.pop()
            return await run_sync(_changes, lease.dtype, before, lease.drawing, True)

    @router.post("/predict")
    async def predict(request: Request) -> Response:
        return await desk.predict(desk.lease(request))


def _add_prompts(router: APIRouter, desk: _Desk) -> None:
    @router.post("/add_point_interaction")
    async def add_point(request: Request, body: PointAsked) -> Response:
        lease = desk.lease(request)
        voxel = voxel_of(body.coordinates, lease.work()[0].shape)
        change = partial(Drawing.point, voxel=voxel, include=body.include_interaction)
        return await desk.prompt(lease, change, predict=body.run_prediction)

    @router.post("/add_bbox_interaction")
    async def add_box(request: Request, body: BoxAsked) -> Response:
        lease = desk.lease(request)
        bounds = bounds_of(body.bbox_coords, lease.work()[0].shape)
        change = partial(Drawing.box, bounds=bounds, include=body.include_interaction)
        return await desk.prompt(lease, change, predict=body.run_prediction)


def _add_masks(router: APIRouter, desk: _Desk) -> None:
    async def masked(request: Request, add: Callable[..., Drawing]) -> Response:
        lease = desk.lease(request)
        shape = lease.work()[0].shape
        said = mask_asked(request.headers.get(META))
        bounds = None if said.interaction_bbox is None else bounds_of(said.interaction_bbox, shape)
        part = shape if bounds is None else tuple(high - low for low, high in bounds)
        marked = await run_sync(whole_mask, await desk.array(request, lease, part), bounds, shape)
        change = partial(add, include=said.include_interaction) if marked.any() else Drawing.unchanged
        return await desk.prompt(lease, lambda now: change(now, marked), predict=said.run_prediction)

    @router.post("/add_scribble_interaction")
    async def add_scribble(request: Request) -> Response:
        return await masked(request, Drawing.strokes)

    @router.post("/add_lasso_interaction")
    async def add_lasso(request: Request) -> Response:
        return await masked(request, Drawing.lasso)

    @router.post("/add_initial_seg_interaction")
    async def add_initial(request: Request) -> Response:
        lease = desk.lease(request)
        said = mask_asked(request.headers.get(META))
        array = await desk.array(request, lease, lease.work()[0].shape)
        async with lease.busy:  # the client has it in its buffer already
            _, drawing = lease.work()
            lease.take(drawing.begun(array > 0))
        return await desk.predict(lease) if said.run_prediction else await _nothing(lease)


async def _nothing(lease: Lease) -> Response:
    drawing = lease.work()[1]
    return await run_sync(_changes, lease.dtype, drawing, drawing, False)
