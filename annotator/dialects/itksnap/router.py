"""The routes: a session has one volume, and each prompt is answered by the whole mask."""

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.datastructures import UploadFile

from annotator.dialects.itksnap.images import packed, read_volume
from annotator.dialects.nninteractive.answering import answer
from annotator.dialects.nninteractive.asked import voxel_of
from annotator.dialects.nninteractive.drawing import Drawing
from annotator.dialects.nninteractive.image import subject_of_array
from annotator.dialects.nninteractive.leases import Lease, Leases
from annotator.web.context import AppContext, person

MODEL = "Slicewise"
KNOWN = (MODEL, "nnInteractive")  # as older versions of ITK-SNAP ask for it
LONGEST_FIELD = 1 << 16
PointQuery = Annotated[list[int], Query(min_length=3, max_length=3)]


class _Sessions:
    """One for a server."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.leases = Leases(context.exports / "itksnap")

    def of(self, request: Request, session: str) -> Lease:
        try:
            lease = self.leases.of(person(request), session)
        except HTTPException as gone:
            raise LookupError(str(gone.detail)) from None
        lease.used = time.monotonic()
        return lease

    async def prompted(self, lease: Lease, change: Callable[[Drawing], Drawing]) -> Any:
        async with lease.busy:
            drawing = await run_sync(change, lease.work()[1])
            lease.take(await answer(self.context.workflow, lease, drawing))
            return {"status": "success", "result": await run_sync(packed, lease.work()[1].mask)}

    async def drawn(self, request: Request, session: str, add: Callable[..., Drawing], include: bool) -> Any:
        lease = self.of(request, session)
        marked = (await _volume(request, lease.work()[0].shape)) > 0
        if not marked.any():
            raise ValueError("nothing was drawn; draw a stroke and try again")
        return await self.prompted(lease, partial(add, marked=marked, include=include))


def make_router(context: AppContext) -> APIRouter:
    router, sessions = APIRouter(), _Sessions(context)
    _add_sessions(router, sessions)
    _add_prompts(router, sessions)
    return router


def _add_sessions(router: APIRouter, sessions: _Sessions) -> None:
    @router.get("/status")
    async def status() -> Any:
        return {"status": "ok", "version": "0.1.6"}  # of the protocol

    @router.get("/v2/models")
    async def models() -> Any:
        able = {"channels": [1], "dimensions": 3, "interactions": ["point", "scribble", "lasso"]}
        return {"models": [{"id": MODEL, **able}]}

    @router.get("/start_session")
    @router.get("/v2/start_session/{model}")
    async def start(request: Request, model: str = MODEL) -> Any:
        if model not in KNOWN:
            raise LookupError(f"there is no model {model[:80]!r}; choose {MODEL}")
        return {"session_id": sessions.leases.claim(person(request)).token}

    @router.post("/upload_raw/{session}")
    @router.post("/v2/upload_raw/{session}")
    async def upload(request: Request, session: str) -> Any:
        lease = sessions.of(request, session)
        volume = await _volume(request, None)
        async with lease.busy:
            subject, axis = await run_sync(subject_of_array, lease.folder, volume[None], {})
            lease.take_image(subject, Drawing.empty(subject.shape, axis))
        return {"message": "the image is here"}

    @router.get("/end_session/{session}")
    @router.get("/v2/end_session/{session}")
    async def end(request: Request, session: str) -> Any:
        sessions.leases.release(person(request), session)
        return {"message": "Session ended"}


def _add_prompts(router: APIRouter, sessions: _Sessions) -> None:
    @router.get("/v2/process_point_interaction/{session}")
    async def point(request: Request, session: str, point: PointQuery, foreground: bool = False) -> Any:
        lease = sessions.of(request, session)
        voxel = voxel_of(point[::-1], lease.work()[0].shape)
        return await sessions.prompted(lease, partial(Drawing.point, voxel=voxel, include=foreground))

    @router.get("/process_point_interaction/{session}")
    async def old_point(
        request: Request, session: str, x: int, y: int, z: int, foreground: bool = False
    ) -> Any:
        return await point(request, session, [x, y, z], foreground)

    @router.post("/process_scribble_interaction/{session}")
    async def scribble(request: Request, session: str, foreground: bool = False) -> Any:
        return await sessions.drawn(request, session, Drawing.strokes, foreground)

    @router.post("/process_lasso_interaction/{session}")
    async def lasso(request: Request, session: str, foreground: bool = False) -> Any:
        return await sessions.drawn(request, session, Drawing.lasso, foreground)

    @router.get("/reset_interactions/{session}")
    @router.get("/v2/reset_interactions/{session}")
    async def reset(request: Request, session: str) -> Any:
        lease = sessions.of(request, session)
        async with lease.busy:
            subject, drawing = lease.work()
            lease.take_image_again(Drawing.empty(subject.shape, drawing.axis))
        return {"status": "success"}


async def _volume(request: Request, shape: tuple[int, ...] | None) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Raises ValueError."""
    async with request.form(max_files=1, max_fields=4, max_part_size=LONGEST_FIELD) as form:
        file, metadata = form.get("file"), form.get("metadata")
        if not isinstance(file, UploadFile) or not isinstance(metadata, str):
            raise ValueError("a form with the fields file and metadata is expected; send both")
        return await run_sync(read_volume, file.file, metadata, shape)
