"""Requests as the clients of MONAI Label 0.8.5 write them, their habits included: the boundary, whole paths as names of
files, and headers of an earlier request that stay once somebody has signed in."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from httpx2 import Response
from starlette.testclient import TestClient

LIMIT = "----------lImIt_of_THE_fIle_eW_$"


@dataclass
class MonaiClient:
    """Of a server that is mounted at `/monai`."""

    http: TestClient
    headers: dict[str, str] = field(default_factory=dict)  # stay from request to request where there are any

    def sign_in(self, name: str, password: str) -> Response:
        form = {"username": name, "password": password, "grant_type": "password"}
        answer = self.http.post("/monai/auth/token", content=urlencode(form), headers=FORM)
        if answer.status_code == 200:
            token = answer.json()
            self.headers["Authorization"] = f"{token['token_type']} {token['access_token']}"
        return answer

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
        content = json.dumps(body).encode() if body is not None else b""
        headers = self._kept("application/json", content) if body is not None else dict(self.headers)
        request = self.http.build_request(method, f"/monai{path}", content=content or None)
        request.headers.update(headers)
        return self.http.send(request)

    def form(self, method: str, path: str, fields: dict[str, Any], files: dict[str, Path]) -> Response:
        body = _form({name: json.dumps(value) for name, value in fields.items()}, files)
        headers = self._kept(f"multipart/form-data; boundary={LIMIT}", body)
        return self.http.request(method, f"/monai{path}", content=body, headers=headers)

    def _kept(self, kind: str, body: bytes) -> dict[str, str]:
        headers = self.headers or {}
        headers.update({"content-type": kind, "content-length": str(len(body))})
        return headers

    def infer(
        self, model: str, image: str, params: dict[str, Any], **files: Path
    ) -> tuple[bytes, dict[str, Any]]:
        answer = self.form("POST", f"/infer/{model}?image={image}", {"params": params}, files)
        assert answer.status_code == 200, answer.text
        return parts_of(answer)


FORM = {"content-type": "application/x-www-form-urlencoded"}


def _form(fields: dict[str, str], files: dict[str, Path]) -> bytes:
    body = b""
    for key, value in fields.items():
        body += f'--{LIMIT}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
    for key, path in files.items():
        head = f'--{LIMIT}\r\nContent-Disposition: form-data; name="{key}"; filename="{path}"\r\n'
        body += (
            head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + path.read_bytes() + b"\r\n"
        )
    return body + f"--{LIMIT}--\r\n\r\n".encode()


def parts_of(answer: Response) -> tuple[bytes, dict[str, Any]]:
    """The file and the parameters of an answer in two parts."""
    boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
    _, first, second, _ = answer.content.split(b"--" + boundary)
    params = json.loads(first.partition(b"\r\n\r\n")[2].strip())
    head, _, content = second.partition(b"\r\n\r\n")
    assert re.search(rb'filename="[\w.-]+"', head), "the client writes to whatever path it is told"
    return content.removesuffix(b"\r\n"), params
