"""One server of nnInteractive over HTTP: every call in a bounded time, every answer of a bounded size."""

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from annotator.dialects.nninteractive.wire import LEASE, META, pack, unpacked
from annotator.prompting.volumes.address import VolumeAddress
from annotator.server_settings import is_loopback
from storage.arrays import Box3
from storage.formats import FileRefused

CONNECT_SECONDS, ANSWER_SECONDS, UPLOAD_SECONDS = 4.0, 45.0, 240.0
SOON_SECONDS = 6.0  # for what takes a server no work
MOST_TEXT = 64 << 10  # bytes of an answer that is no array
MOST_BESIDE = 1 << 20  # bytes that a packed mask may have beyond its voxels
MOST_WORDS = 160  # characters of a server's own words that are shown

ABSENT = (404, 502, 504, *range(200, 400))  # no such server there, or a proxy that does not reach it

VolumeMask = NDArray[np.bool_]


class Unanswered(Exception):
    """The server does not answer; the text goes on after its name, as in "cannot be reached"."""


class ServerFull(Unanswered):
    """Others hold all of its sessions."""


class Declined(Unanswered):
    """It answers, and would not do this one thing."""


class LeaseEnded(Exception):
    """The session is no more: idle for too long, or the server was started anew."""


@dataclass(frozen=True)
class Granted:
    """A session of ours on the server."""

    token: str
    lively_seconds: float  # between two signs of life


class ChangedHead(BaseModel):
    """The head of an answer with a mask: where it changed, half-open; None where nothing did."""

    bbox: list[tuple[int, int]] | None = Field(default=None, min_length=3, max_length=3)

    def window(self, shape: tuple[int, int, int]) -> Box3 | None:
        """Raises Unanswered where it is not within the volume."""
        if self.bbox is None:
            return None
        if not all(0 <= low < high <= n for (low, high), n in zip(self.bbox, shape, strict=True)):
            raise Unanswered("answered with a box outside the volume")
        z, y, x = (slice(low, high) for low, high in self.bbox)
        return z, y, x


class Connection:
    """Thread-safe. Every call raises Unanswered and its kinds, and LeaseEnded."""

    def __init__(self, address: VolumeAddress) -> None:
        headers = {"Accept-Encoding": "identity"}
        if address.token:
            headers["Authorization"] = f"Bearer {address.token}"
        self._base = address.url
        # A server on this computer is not asked by way of a proxy.
        self._http = httpx.Client(headers=headers, trust_env=not is_loopback(address.host))

    def close(self) -> None:
        self._http.close()

    def claim(self) -> Granted:
        said = self._json("/claim", None, SOON_SECONDS)
        token, lively = said.get("lease_token"), said.get("liveness_timeout_seconds", 60.0)
        if not isinstance(token, str) or not 0 < len(token) <= 256 or not token.isascii():
            raise Unanswered("answered as no nnInteractive server does")
        if not isinstance(lively, int | float) or not 1 <= lively <= 86_400:
            lively = 60.0
        return Granted(token, float(lively))

    def release(self, token: str) -> None:
        """As far as it can be."""
        with contextlib.suppress(Unanswered, LeaseEnded):
            self._json("/release", token, SOON_SECONDS)

    def heartbeat(self, token: str) -> None:
        self._json("/heartbeat", token, SOON_SECONDS)

    def send_image(self, token: str, pixels: NDArray[Any], spacing_mm: tuple[float, float, float]) -> None:
        """(Z, Y, X) pixels, and an empty mask of that size."""
        meta = {"image_properties": {"spacing": list(spacing_mm)}}
        packed = pack(pixels[None])
        self._bytes("/set_image", token, UPLOAD_SECONDS, MOST_TEXT, meta=meta, content=packed)
        self._json("/set_target_buffer", token, ANSWER_SECONDS, {"shape": pixels.shape, "dtype": "uint8"})

    def reset(self, token: str) -> None:
        self._json("/reset_interactions", token, ANSWER_SECONDS)

    def tell(
        self, token: str, path: str, said: dict[str, Any], marked: VolumeMask | None, into: VolumeMask
    ) -> None:
        """One prompt, whose answer changes the (Z, Y, X) mask `into`. `marked`: the strokes of one that has some."""
        limit = into.size + MOST_BESIDE
        if marked is None:
            head, body = self._bytes(path, token, ANSWER_SECONDS, limit, json=said)
        else:
            content = pack(marked.view(np.uint8))
            head, body = self._bytes(path, token, ANSWER_SECONDS, limit, meta=said, content=content)
        try:
            changed = ChangedHead.model_validate_json(head or "{}")
        except ValidationError:
            raise Unanswered("answered with a head that cannot be read") from None
        window = changed.window(into.shape)
        if window is not None:
            into[window] = _mask(body, into[window].shape)

    def _json(self, path: str, token: str | None, seconds: float, said: Any = None) -> dict[str, Any]:
        _, body = self._bytes(path, token, seconds, MOST_TEXT, json={} if said is None else said)
        return _object(body)

    def _bytes(
        self, path: str, token: str | None, seconds: float, limit: int, *, meta: Any = None, **what: Any
    ) -> tuple[str, bytes]:
        """The answer's own head and its body, as it came."""
        headers = {} if token is None else {LEASE: token}
        if meta is not None:
            headers |= {META: json.dumps(meta), "Content-Type": "application/octet-stream"}
        times = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            with self._http.stream(
                "POST", self._base + path, headers=headers, timeout=times, **what
            ) as reply:
                body = _bounded(reply, limit, time.monotonic() + seconds)
        except httpx.TimeoutException:
            raise Unanswered("does not answer in time") from None
        except (httpx.HTTPError, OSError) as error:
            raise Unanswered(f"cannot be reached{_because(error)}") from None
        _check(reply, body)
        return reply.headers.get(META, ""), body


def _bounded(reply: httpx.Response, limit: int, until: float) -> bytes:
    """Nothing is unpacked on the way: what is compressed as a whole stays so and is no mask."""
    parts, size = [], 0
    for part in reply.iter_raw():
        size += len(part)
        if size > limit:
            raise Unanswered("answered with more than a mask of this volume can have")
        if time.monotonic() > until:
            raise Unanswered("does not answer in time")
        parts.append(part)
    return b"".join(parts)


def _check(reply: httpx.Response, body: bytes) -> None:
    status = reply.status_code
    if status == 200:
        return
    if status == 410:
        raise LeaseEnded
    if status == 503:
        raise ServerFull("is busy with other people")
    if status in (401, 403):
        raise Unanswered("does not take our token")
    if status == 413:
        raise Declined("does not take a volume of this size")
    said = _object(body, strict=False)
    words = next((said[key] for key in ("detail", "error") if isinstance(said.get(key), str)), "")
    kind = Unanswered if status in ABSENT else Declined
    raise kind(f"answered {status}" + (f" ({' '.join(words.split())[:MOST_WORDS]})" if words else ""))


def _object(body: bytes, *, strict: bool = True) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if strict:
        raise Unanswered("answered as no nnInteractive server does")
    return {}


def _mask(body: bytes, shape: tuple[int, ...]) -> VolumeMask:
    """Measured before it is unpacked."""
    try:
        found = unpacked(body, shape)
    except (ValueError, FileRefused):
        raise Unanswered("answered with a mask that cannot be read") from None
    return np.asarray(found > 0)


def _because(error: Exception) -> str:
    """For a certificate the reason is worth telling; a refused connection says enough by itself."""
    words = str(error)
    if "CERTIFICATE" not in words.upper():
        return ""
    return f" safely ({' '.join(words.split())[:MOST_WORDS]})"
