"""Signing in as the clients do it: a form with name and password for a token that they send from then on."""

from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from annotator.access.sign_in import Form
from annotator.dialects.monai.desk import Desk

FAILED = "Wrong name or password; a token made on the page works as password, too."


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/auth")
    sessions, door = desk.context.sessions, desk.context.sign_in

    @router.get("/")
    async def enabled() -> Any:  # the plugin asks before every single call
        return {"enabled": not sessions.lets_local_in}

    @router.post("/token")
    async def token(request: Request) -> Response:
        form, address = _read(await request.body()), request.client.host if request.client else ""
        if wait := door.wait(address, form):
            line = f"Too many attempts; wait {wait} seconds and try again."
            return JSONResponse({"error": line}, 429, {"retry-after": str(wait)})
        made = sessions.tokens.find(form.password)
        if (
            made
            and made.user.casefold() == form.name.strip().casefold()
            and sessions.holds(made.user, made.stamp)
        ):
            return _token(form.password)
        user = await door.user(address, form)
        return _token(sessions.value_for(user)) if user else JSONResponse({"error": FAILED}, 401)

    @router.get("/token/valid")
    async def valid() -> Any:  # the guard has looked at it
        return {}

    return router


def _token(value: str) -> Response:
    return JSONResponse({"access_token": value, "token_type": "bearer"})


def _read(body: bytes) -> Form:
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError:
        return Form()
    return Form(fields.get("username", [""])[0], fields.get("password", [""])[0])
