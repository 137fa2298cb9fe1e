"""The sign-in page: one form, no script, nothing from outside."""

import base64
import hashlib
import html
from urllib.parse import parse_qs

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from annotator.access.sessions import USER_KEY
from annotator.access.sign_in import Form, SignIn

CSS = """
:root {
  color-scheme: light dark;
  --back: #f3f5f8; --card: #fff; --ink: #17202c; --soft: #566273; --line: #8592a3; --key: #0b63b5; --bad: #a8201a;
}
@media (prefers-color-scheme: dark) {
  :root { --back: #0b0e13; --card: #151a22; --ink: #e9eef5; --soft: #a3b0c0;
    --line: #5d6b7d; --key: #5cb3ff; --bad: #ff9a92 }
}
* { box-sizing: border-box }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--back); color: var(--ink);
  font: 16px/1.5 ui-sans-serif, system-ui, "Segoe UI", sans-serif;
}
main {
  width: min(24rem, calc(100vw - 2rem)); padding: 2rem; background: var(--card); border-radius: 12px;
  box-shadow: 0 8px 30px #0003;
}
h1 { margin: 0 0 .25rem; font-size: 1.4rem }
p { margin: 0 0 1.25rem; color: var(--soft) }
label { display: block; margin: 0 0 1rem; font-weight: 600 }
input {
  display: block; width: 100%; margin-top: .3rem; padding: .6rem .7rem; font: inherit; font-weight: 400; color: inherit;
  background: transparent; border: 1px solid var(--line); border-radius: 8px;
}
button {
  width: 100%; padding: .65rem; font: inherit; font-weight: 600; color: var(--card); background: var(--key);
  border: 0; border-radius: 8px; cursor: pointer;
}
:focus-visible { outline: 3px solid var(--key); outline-offset: 2px }
[role=alert] { color: var(--bad); font-weight: 600 }
"""
_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
FAILED = "Wrong name or password; try again."
USED = "This link was used already or has expired; ask for a new one."


def make_router(door: SignIn) -> APIRouter:
    """GET and POST /login, POST /logout."""
    router, sessions = APIRouter(), door.sessions
    root = sessions.root_path

    @router.get("/login")
    async def show(token: str = "") -> Response:
        holder = await anyio.to_thread.run_sync(sessions.accounts.holder, token) if token else None
        if token:
            return _answer(_link_form(holder, token) if holder else _password_form(USED))
        if sessions.lets_local_in:
            return RedirectResponse(f"{root}/", 303)
        return _answer(_password_form())

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        form = _read(await request.body())
        address = request.client.host if request.client else ""
        if wait := 0 if request.scope.get(USER_KEY) else door.wait(address, form):
            line = f"Too many attempts; wait {wait} seconds and try again."
            return _answer(_password_form(line, form.name), 429, {"retry-after": str(wait)})
        user = await door.user(address, form)
        if user is None:
            return _answer(_password_form(USED if form.link else FAILED, form.name), 403)
        return RedirectResponse(f"{root}/", 303, {"set-cookie": sessions.issue(user)})

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        session = sessions.read(request.headers.get("cookie", ""))
        cookie = await anyio.to_thread.run_sync(sessions.end, session)
        return RedirectResponse(f"{root}/login", 303, {"set-cookie": cookie})

    return router


def _read(body: bytes) -> Form:
    """What was typed; anything that is not such a form reads as an empty one."""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError:
        return Form()
    return Form(**{name: fields.get(name, [""])[0] for name in ("name", "password", "link")})


def _answer(content: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Sign in · Slicewise</title>'
        f'<link rel="icon" href="data:,"><style>{CSS}</style></head><body><main>{content}</main></body></html>'
    )
    kept = {"content-security-policy": POLICY, "cache-control": "no-store"}
    return HTMLResponse(page, status, kept | (headers or {}))


def _password_form(problem: str = "", name: str = "") -> str:
    alert = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    return (
        "<h1>Sign in to Slicewise</h1><p>Use the account that the owner of this project made for you, "
        f'or open your one-time link.</p>{alert}<form method="post" action="login">'
        f'<label>Name<input name="name" value="{html.escape(name)}" autocomplete="username" maxlength="64" '
        "required autofocus></label>"
        '<label>Password<input name="password" type="password" autocomplete="current-password" '
        'maxlength="1024" required></label><button>Sign in</button></form>'
    )


def _link_form(holder: str, token: str) -> str:
    """A button, so that a program which only looks at the link does not use it up."""
    return (
        f"<h1>Welcome, {html.escape(holder)}</h1><p>This link signs you in on this browser. It works once.</p>"
        f'<form method="post" action="login"><input type="hidden" name="link" value="{html.escape(token)}">'
        "<button autofocus>Continue to Slicewise</button></form>"
    )
