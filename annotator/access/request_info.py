"""One request or websocket handshake, as the guard sees it before anything else does."""

import re
from dataclasses import dataclass, field

from starlette.types import Scope

SAFE = ("GET", "HEAD")


@dataclass(frozen=True)
class RequestInfo:
    """One request or handshake, as the guard sees it."""

    scope: Scope
    headers: dict[str, str]
    repeated: frozenset[str]
    method: str = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.scope.get("method", "GET"))
        object.__setattr__(self, "path", self.scope["path"])

    @classmethod
    def of(cls, scope: Scope, root_path: str = "") -> "RequestInfo":
        """`root_path`: the prefix of a reverse proxy, which some proxies leave on and some take off."""
        scope = _without_prefix(scope, root_path)
        headers: dict[str, str] = {}
        repeated = set()
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name in headers:
                repeated.add(name)
                value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
            headers[name] = value
        return cls(scope, headers, frozenset(repeated))

    @property
    def is_socket(self) -> bool:
        return self.scope["type"] == "websocket"

    @property
    def changes_things(self) -> bool:
        return self.is_socket or self.method not in SAFE

    @property
    def wants_page(self) -> bool:
        return self.method in SAFE and "text/html" in self.headers.get("accept", "") and not self.is_socket

    @property
    def hostname(self) -> str:
        """The Host header without its port."""
        host = self.headers.get("host", "").lower()
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", host)
        return found[1].rstrip(".") if found else ""

    @property
    def address(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def through_proxy(self) -> bool:
        return any(name in self.headers for name in ("forwarded", "via", "x-forwarded-for", "x-real-ip"))


def _without_prefix(scope: Scope, prefix: str) -> Scope:
    path = scope["path"]
    if not prefix or not path.startswith(f"{prefix}/"):
        return scope
    rest = path.removeprefix(prefix)
    raw = scope.get("raw_path") or b""
    return {**scope, "path": rest, "raw_path": raw.removeprefix(prefix.encode())}
