"""Who a program is that speaks another tool's dialect: by a token or a sign-in of its own, never by a cookie, which a
browser would send along for any site."""

import asyncio
import base64
import binascii
import math

from annotator.access.accounts import local_user
from annotator.access.request_info import RequestInfo
from annotator.access.sessions import LOCAL, Session, Sessions
from annotator.server_settings import is_loopback

LOCAL_PROGRAM = "local-program"  # the key of whatever runs on this computer where nobody has an account


def at_this_computer(visit: RequestInfo) -> bool:
    """Both ends are here, and no proxy brought it."""
    return is_loopback(visit.hostname) and is_loopback(visit.address) and not visit.through_proxy


def session_of_program(sessions: Sessions, visit: RequestInfo) -> Session | None:
    """None for strangers. On the event loop; a look at memory."""
    said = visit.headers.get("authorization", "")
    if not said:
        free = sessions.lets_local_in and at_this_computer(visit)
        return Session(local_user(), math.inf, LOCAL_PROGRAM, LOCAL, listed=False) if free else None
    name, secret = _credentials(said)
    session = _of_token(sessions, secret) or sessions.of_value(secret)
    return session if session and name.casefold() in ("", session.user.casefold()) else None


def _of_token(sessions: Sessions, secret: str) -> Session | None:
    token = sessions.tokens.find(secret) if secret else None
    if token is None or not sessions.holds(token.user, token.stamp):
        return None
    if not sessions.tokens.used_today(token):
        asyncio.get_running_loop().run_in_executor(None, sessions.tokens.note_use, token)
    return Session(token.user, math.inf, token.id, token.stamp, listed=False)


def _credentials(header: str) -> tuple[str, str]:
    """Name and secret. A tool that asks for name and password takes a token as the password; the name may be
    empty."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return "", rest.strip()
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret
