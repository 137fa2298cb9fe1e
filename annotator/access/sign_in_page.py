"""The sign-in page: one form, no script, nothing from outside."""

import base64
import hashlib
import html
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import parse_qs

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from annotator.access.accounts import User
from annotator.access.rate_limits import MAX_KEYS, Buckets, Rate
from annotator.access.sessions import USER_KEY, Sessions

ATTEMPTS = Rate(per_second=1 / 6, burst=10)  # at one name from one address
AN_ADDRESS = Rate(per_second=1, burst=60)  # a laboratory behind one address is many people
A_NAME = Rate(per_second=1, burst=100)  # from everywhere: guessers on many addresses
CONCURRENT_GUESSES = 2  # each guess takes 32 MB and 0.1 s of a core

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


@dataclass(frozen=True)
class Form:
    name: str = ""
    password: str = ""
    link: str = ""


class Attempts:
    """Who has to wait before the next guess. Guessers elsewhere never keep a person out who was here before."""

    def __init__(self) -> None:
        self._by_address, self._by_name = Buckets(AN_ADDRESS), Buckets(A_NAME)
        self._by_both = Buckets(ATTEMPTS)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # address and name that signed in

    def wait(self, address: str, name: str) -> int:
        """Whole seconds, 0 where the attempt may be made. `name` is empty for a link, which nobody guesses."""
        if wait := self._by_address.take(address):
            return wait
        if not name:
            return 0
        wait = self._by_both.take((address, name))
        return wait if wait or (address, name) in self._known else self._by_name.take(name)

    def succeeded(self, address: str, name: str) -> None:
        """Remember where this person signs in."""
        self._known[address, name] = None
        self._known.move_to_end((address, name))
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)


def make_router(sessions: Sessions) -> APIRouter:
    """GET and POST /login, POST /logout."""
    router, root = APIRouter(), sessions.root_path
    attempts, slots = Attempts(), anyio.CapacityLimiter(CONCURRENT_GUESSES)

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
        name = form.name.strip().casefold()
        if wait := 0 if request.scope.get(USER_KEY) else attempts.wait(address, "" if form.link else name):
            line = f"Too many attempts; wait {wait} seconds and try again."
            return _answer(_password_form(line, form.name), 429, {"retry-after": str(wait)})
        user = await anyio.to_thread.run_sync(_check, sessions, form, limiter=slots)
        if user is None:
            return _answer(_password_form(USED if form.link else FAILED, form.name), 403)
        attempts.succeeded(address, user.name.casefold())
        return RedirectResponse(f"{root}/", 303, {"set-cookie": sessions.issue(user)})

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        session = sessions.read(request.headers.get("cookie", ""))
        cookie = await anyio.to_thread.run_sync(sessions.end, session)
        return RedirectResponse(f"{root}/login", 303, {"set-cookie": cookie})

    return router


def _check(sessions: Sessions, form: Form) -> User | None:
    if form.link:
        return sessions.accounts.spend_link(form.link)
    return sessions.accounts.check_password(form.name, form.password)


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
