"""The token with which a program reads `/metrics`, and nothing else. Only its digest is on disk."""

import hashlib
import hmac
import secrets
from pathlib import Path

from annotator.access.accounts import make_private_directory, write_private


class MetricsToken:
    def __init__(self, private: Path) -> None:
        self._file = private / "metrics.token"

    def renew(self) -> str:
        """A new token; the one before is worth nothing from now on."""
        token = secrets.token_urlsafe(32)
        make_private_directory(self._file.parent)
        write_private(self._file, _digest(token).encode())
        return token

    def fits(self, token: str) -> bool:
        try:
            known = self._file.read_text()
        except OSError:
            return False
        return hmac.compare_digest(known, _digest(token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
