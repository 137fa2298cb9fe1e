"""What was answered to a change, by its client id: whoever sends it again gets the same answer."""

import json
from typing import Any

from storage.database import Database


class Answers:
    """Thread-safe. `keep` belongs into the transaction that makes the change, see `Store.together`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, client_id: str) -> dict[str, Any] | None:
        """None where this change never came."""
        kept = self._db.value("select answer from answers where client_id = ?", [client_id])
        return None if kept is None else dict(json.loads(kept))

    def keep(self, client_id: str, answer: dict[str, Any]) -> None:
        with self._db.transaction() as tables:
            tables.table("answers").insert({"client_id": client_id, "answer": json.dumps(answer)})
