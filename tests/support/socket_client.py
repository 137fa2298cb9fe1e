"""A person's browser as a script: signs in to a real server and talks over its websocket."""

import contextlib
import time
import uuid
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from annotator.protocol.frames import encode_runs, pack, unpack


class SocketClient:
    """One tab: a signed-in session and its websocket."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, headers={"origin": address}, timeout=60)
        self.http.get("/", headers={"accept": "text/html"}, follow_redirects=True).raise_for_status()
        cookies = "; ".join(f"{c.name}={c.value}" for c in self.http.cookies.jar)
        url = address.replace("http", "ws", 1) + "/api/live"
        headers = {"cookie": cookies}
        link = connect(
            url, additional_headers=headers, origin=Origin(address), max_size=None, open_timeout=30
        )
        self._open = contextlib.ExitStack()
        self.socket: ClientConnection = self._open.enter_context(link)
        self.user = self.wait("hello")[0]["user"]

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        self.socket.send(pack(message, payload))

    def wait(self, kind: str, timeout: float = 60, **fields: Any) -> tuple[dict[str, Any], bytes]:
        """The next message of a kind with these fields; what comes before it is dropped."""
        until = time.monotonic() + timeout
        while True:
            frame = self.socket.recv(timeout=max(0.01, until - time.monotonic()))
            assert isinstance(frame, bytes), frame
            message, payload = unpack(frame)
            if message["t"] == kind and all(message.get(key) == value for key, value in fields.items()):
                return message, payload
            assert message["t"] != "refused" or kind == "refused", message

    def label(
        self, image: int, axis: int, index: int, classes: NDArray[np.uint8], **more: Any
    ) -> dict[str, Any]:
        """Commit a patch at the slice's corner and wait until it is durable; the acknowledgement."""
        message = label_message(image, axis, index, classes, **more)
        self.send(message, encode_runs(classes))
        return self.wait("ack", id=message["id"])[0]

    def close(self) -> None:
        self._open.close()
        self.http.close()


def label_message(
    image: int, axis: int, index: int, classes: NDArray[np.uint8], at: tuple[int, int] = (0, 0), **more: Any
) -> dict[str, Any]:
    """A `label` message whose payload is the runs of `classes`."""
    box = [at[0], at[1], at[0] + classes.shape[0], at[1] + classes.shape[1]]
    message = {"t": "label", "id": uuid.uuid4().hex, "image": image, "axis": axis, "index": index, "box": box}
    rest = {"source": "drawn", "base_rev": 0, "instance": 0, "prompts": {}, "seconds": 1.0}
    return {**message, **rest, **more}
