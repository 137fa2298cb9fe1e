"""Multipart forms in and out, as the clients write and read them."""

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from storage.formats import READERS

LONGEST_PARAMS = 1 << 20
_BOUNDARY = re.compile(rb"--([^\r\n]{1,70})\r\n")


async def form_of(request: Request) -> FormData:
    """The form of a request. The Python client repeats the content type of an earlier request once it has signed in,
    so that the body's own first line says what its parts are divided by."""
    first = await request.receive()
    found = _BOUNDARY.match(first.get("body", b""))
    scope, waiting = request.scope, [first]
    if found:
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        told = b'multipart/form-data; boundary="' + found[1] + b'"'
        scope = {**scope, "headers": [*kept, (b"content-type", told)]}

    async def receive() -> Message:
        return waiting.pop() if waiting else await request.receive()

    return await Request(scope, receive).form(max_files=1000, max_fields=100, max_part_size=LONGEST_PARAMS)


def params_of(form: FormData, field: str = "params") -> dict[str, Any]:
    """Raises ValueError."""
    text = form.get(field) or "{}"
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"the field {field} is not a JSON object; send one, or leave it out")
    return found


def file_of(form: FormData, field: str) -> UploadFile | None:
    found = form.get(field)
    return found if isinstance(found, UploadFile) else None


@contextmanager
def on_disk(upload: UploadFile, folder: Path) -> Iterator[Path]:
    """The file under a name of ours with its own ending. Raises ValueError for an ending that is unknown."""
    name = PurePath((upload.filename or "").replace("\\", "/")).name
    suffixes = sorted((s for reader in READERS.values() for s in reader.suffixes), key=len, reverse=True)
    suffix = next((s for s in suffixes if name.lower().endswith(s)), None)
    if suffix is None:
        raise ValueError(
            f"{name[:100]!r} has none of the endings {', '.join(sorted(suffixes))}; save it as .nii.gz"
        )
    stem = re.sub(r"[^\w .-]", "_", name[: len(name) - len(suffix)])[:100].strip(" .") or "image"
    with TemporaryDirectory(dir=folder) as inside:
        path = Path(inside) / f"{stem}{suffix}"
        with open(path, "wb") as file:
            shutil.copyfileobj(upload.file, file, 1 << 20)
        yield path


def reply(params: dict[str, Any], filename: str, content: bytes) -> Response:
    """A mask and what is said about it, in one answer."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(params)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = b"".join((head.encode(), content, f"\r\n--{boundary}--\r\n".encode()))
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")


def download(filename: str, content: bytes) -> Response:
    """`filename` is one of ours: ASCII, without quotes."""
    headers = {"content-disposition": f'attachment; filename="{filename}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)
