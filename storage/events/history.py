"""What a person did last: what undo takes back, and redo brings again."""

from typing import Any

from storage.arrays import SliceRef
from storage.database import Database
from storage.events.revoking import CLEARED
from storage.rows import Event

STEPS = 500  # kept within reach
# a stroke, a slice that is complete, an acceptance, a clearing
ACTS = f"(e.kind in ('patch', 'complete') or e.kind = 'revoke' and e.prompts = '{CLEARED}')"
SHOWN = """e.client_id, e.image_id, e.axis, e.slice, i.name,
    case e.kind when 'patch' then e.source when 'complete' then 'complete' else 'cleared' end as act"""


class History:
    """Thread-safe. Tags have an undo of their own, where they are seen."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, author: str) -> tuple[list[Event], list[Event]]:
        """What this author can undo, and what redo: newest last. A new act ends what can be redone.

        Acts of an import or a repair are undone as a whole, where they are listed.
        """
        undo = f"""select {SHOWN} from labels e join images i on i.id = e.image_id
                   where e.author = ? and e.live and e.act is null and i.bin is null and {ACTS}
                   order by e.id desc limit ?"""
        redo = f"""select {SHOWN} from labels r join labels e on r.revokes = e.id
                   join images i on i.id = e.image_id
                   where r.author = ?1 and e.author = ?1 and r.live and r.act is null
                   and e.act is null and i.bin is null and {ACTS} and r.prompts != '{CLEARED}'
                   and r.id > (select coalesce(max(e.id), 0) from labels e where e.author = ?1 and {ACTS})
                   order by r.id desc limit ?2"""
        return self._events(undo, author), self._events(redo, author)

    def _events(self, sql: str, author: str) -> list[Event]:
        return [_event(row) for row in reversed(self._db.rows(sql, [author, STEPS]))]


def _event(row: dict[str, Any]) -> Event:
    ref = SliceRef(row["image_id"], row["axis"], row["slice"])
    return Event(row["client_id"], ref, row["act"], row["name"])
