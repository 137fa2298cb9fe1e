"""Pseudo-labels over HTTP; see "Pseudo-labels" in docs/protocol.md."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from annotator.background import Background
from annotator.filling.guided_start import guide
from annotator.filling.proposals import VolumeProposals
from annotator.protocol.incoming import Axis, ImageId, Index
from annotator.web.bodies import ClassId, Name, RequestBody, ShortName
from annotator.web.compression import compressed_response, deflate
from annotator.web.context import AppContext
from learners.propagate.next_slice import DEFAULT_RULE


class PropagatorBody(RequestBody):
    name: Name
    image: ImageId | None = None


class RedrawBody(RequestBody):
    producer: Name


class FindBody(RequestBody):
    class_id: ClassId


def make_router(context: AppContext, background: Background) -> APIRouter:
    router = APIRouter(prefix="/api")
    _add_proposals(router, context, background)
    _add_advice(router, context, background)
    _add_fills(router, background)
    return router


def _add_proposals(router: APIRouter, context: AppContext, background: Background) -> None:
    """What is proposed, as arrays."""
    fills, proposals = background.fills, background.proposals

    @router.get("/images/{image_id}/prediction")
    async def prediction(
        request: Request,
        image_id: ImageId,
        z0: Index | None = None,
        z1: Index | None = None,
        producer: Name | None = None,
    ) -> Any:
        if z0 is None or z1 is None:
            await run_sync(fills.catch_up, image_id)
            return await run_sync(proposals.describe, image_id)
        return await run_sync(
            _slab, request, proposals, (image_id, z0, z1, producer), limiter=context.reading
        )

    @router.get("/images/{image_id}/trust")
    async def trust(
        request: Request,
        image_id: ImageId,
        axis: Axis,
        index: Index,
    ) -> Response:
        def answer() -> Response:
            array = background.trust.slice(image_id, axis, index)
            return compressed_response(request, deflate(array), {"cache-control": "no-store"})

        return await run_sync(answer, limiter=context.reading)


def _add_advice(router: APIRouter, context: AppContext, background: Background) -> None:
    """Where to label."""
    workflow, proposals = context.workflow, background.proposals

    @router.get("/images/{image_id}/prediction/objects")
    async def objects(
        request: Request, image_id: ImageId, z0: Index, z1: Index, producer: Name | None = None
    ) -> Any:
        which = (image_id, z0, z1, producer)
        return await run_sync(_objects, request, proposals, which, limiter=context.reading)

    @router.get("/images/{image_id}/places")
    async def places(image_id: ImageId) -> Any:
        return await run_sync(background.places.of, image_id, limiter=context.reading)

    @router.get("/images/{image_id}/guide")
    async def begin(image_id: ImageId, planes: Annotated[int, Query(ge=2, le=3)] = 2) -> Any:
        return await run_sync(guide, workflow.store, workflow.folds, image_id, planes)

    @router.get("/images/{image_id}/next-slice")
    async def next_slice(
        image_id: ImageId,
        rule: ShortName = DEFAULT_RULE,
        producer: Name | None = None,
    ) -> Any:
        return await run_sync(proposals.next_slice, image_id, rule, producer)


def _add_fills(router: APIRouter, background: Background) -> None:
    """What is to be filled or drawn anew, and by whom."""
    fills = background.fills

    @router.post("/images/{image_id}/redraw")
    async def redraw(image_id: ImageId, whose: RedrawBody) -> Any:
        await run_sync(fills.redraw, image_id, whose.producer)
        return {}

    @router.post("/images/{image_id}/find-objects")
    async def find_objects(image_id: ImageId, what: FindBody) -> Any:
        await run_sync(fills.find_objects, image_id, what.class_id)
        return {}

    @router.post("/propagator")
    async def propagator(choice: PropagatorBody) -> Any:
        await run_sync(fills.choose, choice.name)
        if choice.image is not None:
            await run_sync(fills.refresh, choice.image)
        return {}


def _objects(
    request: Request, proposals: VolumeProposals, which: tuple[int, int, int, str | None]
) -> Response:
    image_id, _, _, producer = which
    found = proposals.objects(*which) if proposals.available(image_id, producer) else None
    if found is None:
        return Response(status_code=204)
    headers = {"x-prediction": str(found[1]), "cache-control": "no-store"}
    return compressed_response(request, deflate(found[0].astype("<u2")), headers)


def _slab(request: Request, proposals: VolumeProposals, which: tuple[int, int, int, str | None]) -> Response:
    image_id, _, _, producer = which
    if not proposals.available(image_id, producer):
        return Response(status_code=204)  # its labels were taken back meanwhile; a `fill` message says so too
    array, prediction = proposals.slab(*which)
    headers = {"x-prediction": str(prediction), "cache-control": "no-store"}
    return compressed_response(request, deflate(array), headers)
