"""Taking events back: rows of their own, so that nothing that was said is ever lost.

An event lives while no living row revokes it. `live` says so in every row and is kept in step here alone.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database as Tables

from storage.events.current_act import current_act

CLEARED = '{"cleared": true}'  # the note of the revocations that one clearing makes
FURTHER = re.compile(r"^(.+)--\d+$")  # of an act's id: its first event has the id itself


def member(client_id: str, number: int) -> str:
    """The id of an act's event: several events may come of one message."""
    return client_id if number == 0 else f"{client_id}--{number}"


def sent_before(tables: Tables, client_id: str) -> bool:
    """Whether an event with this client id is there, live or not."""
    return next(tables.query("select 1 from labels where client_id = ?", [client_id]), None) is not None


def events_of(tables: Tables, client_id: str, author: str) -> list[dict[str, Any]]:
    """The rows that this person's act made, oldest first."""
    sql = """select * from labels where author = ?2 and (client_id = ?1 or
             (client_id > ?1 || '--' and client_id < ?1 || '-.')) order by id"""  # "." comes after "-"
    rows = tables.query(sql, [client_id, author])
    return [row for row in rows if row["client_id"] == client_id or FURTHER.match(row["client_id"])]


def insert_revokes(
    tables: Tables,
    rows: Sequence[dict[str, Any]],
    client_id: str,
    author: str,
    *,
    start: int = 0,
    note: str = "{}",
) -> None:
    """Take `labels` rows back, inside the caller's transaction. `start`: how many events the act has already. `note`:
    JSON, what the revocations are kept as."""
    for number, row in enumerate(rows, start):
        keep = {key: row[key] for key in ("image_id", "axis", "slice", "present")}
        new = {"client_id": member(client_id, number), "kind": "revoke", "source": row["source"]}
        by = {"author": author, "act": current_act.get(), "prompts": note}
        tables.table("labels").insert({**new, **by, **keep, "revokes": row["id"]})
        _settle(tables, row["id"])


def revokers_of(tables: Tables, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The living rows that take these back."""
    ids = ",".join(str(int(row["id"])) for row in rows)
    return list(tables.query(f"select * from labels where live and revokes in ({ids}) order by id"))


def _settle(tables: Tables, label_id: int | None) -> None:
    """Set `live` of an event, and of what it revokes, and so on down the chain."""
    while label_id is not None:
        taken_back = "exists (select 1 from labels r where r.revokes = ?1 and r.live)"
        sql = f"update labels set live = not {taken_back} where id = ?1"
        tables.execute(sql, [label_id])
        label_id = tables.execute("select revokes from labels where id = ?", [label_id]).fetchone()[0]
