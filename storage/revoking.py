"""Taking an event back: a row of its own, so that nothing that was said is ever lost."""

from typing import Any

from sqlite_utils import Database as Tables


def sent_before(tables: Tables, client_id: str) -> bool:
    """Whether an event with this client id is there, live or not."""
    return next(tables.query("select 1 from labels where client_id = ?", [client_id]), None) is not None


def insert_revoke(tables: Tables, row: dict[str, Any], client_id: str, author: str) -> None:
    """Take a `labels` row back, inside the caller's transaction. Raises LookupError where it is taken back already."""
    if not row["live"]:
        raise LookupError("that step is undone already")
    keep = {key: row[key] for key in ("image_id", "axis", "slice", "present")}
    new = {"client_id": client_id, "kind": "revoke", "source": row["source"], "author": author, **keep}
    tables.table("labels").insert({**new, "revokes": row["id"]})
    tables.table("labels").update(row["id"], {"live": 0})
    if row["revokes"]:
        tables.table("labels").update(row["revokes"], {"live": 1})
