"""All routes of the dialect put together."""

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from annotator.dialects.monai import datastore, image_infer, info, labels, lending, signing_in, training
from annotator.dialects.monai.desk import Desk
from annotator.web.context import AppContext

HERE = "MONAI Label is spoken here, by Slicewise. Paste this address into your tool."


def make_router(context: AppContext) -> APIRouter:
    router, desk = APIRouter(), Desk(context)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def root() -> Response:  # the Reviewer asks whether anybody is there
        return PlainTextResponse(HERE)

    for part in (signing_in, info, datastore, labels, image_infer, training, lending):
        router.include_router(part.make_router(desk))
    return router
