"""Pixels and labels on their way to a browser: compressed once, kept for the next who asks."""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

KEEP_BYTES = 64 << 20
WHOLE_BYTES = (
    16 << 20
)  # larger ones are compressed while they are sent, so that the first byte is there at once
BLOCK_BYTES = 1 << 20
LEVEL = 1
BINARY = "application/octet-stream"


class CompressedCache:
    """Compressed answers, the ones used last; thread-safe."""

    def __init__(self, keep_bytes: int = KEEP_BYTES) -> None:
        self._keep_bytes = keep_bytes
        self._lock = threading.Lock()  # protects _kept and _bytes
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> bytes | NDArray[Any]:
        """The compressed array; the array itself where it is too large to be compressed in one go."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        array = make()
        if array.nbytes > WHOLE_BYTES:
            return array
        data = zlib.compress(_bytes_of(array), LEVEL)
        self._keep(key, data)
        return data

    def _keep(self, key: Hashable, data: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._bytes += len(data)
            self._kept[key] = data
            while self._bytes > self._keep_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])


def deflate(array: NDArray[Any]) -> bytes | NDArray[Any]:
    """As `CompressedCache.get`, for what changes too often to be kept."""
    return array if array.nbytes > WHOLE_BYTES else zlib.compress(_bytes_of(array), LEVEL)


def compressed_response(request: Request, content: bytes | NDArray[Any], headers: dict[str, str]) -> Response:
    """Compressed where the client understands it, which every browser does."""
    accepts = "deflate" in request.headers.get("accept-encoding", "")
    headers = headers | {"vary": "accept-encoding"} | ({"content-encoding": "deflate"} if accepts else {})
    if isinstance(content, bytes):
        return Response(content if accepts else zlib.decompress(content), headers=headers, media_type=BINARY)
    blocks = _deflated(content) if accepts else _blocks(content)
    return StreamingResponse(blocks, headers=headers, media_type=BINARY)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view("u1").data


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    view = _bytes_of(array)
    for start in range(0, len(view), BLOCK_BYTES):
        yield bytes(view[start : start + BLOCK_BYTES])


def _deflated(array: NDArray[Any]) -> Iterator[bytes]:
    press = zlib.compressobj(LEVEL)
    for block in _blocks(array):
        if data := press.compress(block):
            yield data
    yield press.flush()
