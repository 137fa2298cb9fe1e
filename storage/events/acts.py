"""What is done as a whole and taken back as a whole: an import, a merged class, images thrown away."""

import json
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database as Tables

from storage.database import Database
from storage.events.current_act import current_act

BY_ACT = "act"  # the source of rows that undo or redo an act; its own rows have others


@dataclass(frozen=True)
class NewAct:
    """`client_id` makes it safe to ask twice."""

    kind: str
    title: str  # one line for people
    author: str
    client_id: str = ""


@dataclass(frozen=True)
class ActRow:
    id: int
    client_id: str
    kind: str
    title: str
    author: str
    facts: dict[str, Any]
    undone: bool
    created_at: str


class Acts:
    """Thread-safe. Undo and redo here are about label events alone; `annotator.labels.repair` does the rest."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def newest(self, limit: int = 100) -> list[ActRow]:
        return [_act(row) for row in self._db.rows("select * from acts order by id desc limit ?", [limit])]

    def get(self, act_id: int) -> ActRow:
        rows = self._db.rows("select * from acts where id = ?", [act_id])
        if not rows:
            raise LookupError(f"there is no step {act_id} that could be undone as a whole")
        return _act(rows[0])

    @contextmanager
    def doing(self, new: NewAct, **facts: Any) -> Iterator[int]:
        """Everything that this thread writes meanwhile belongs to a new act; its id."""
        with self._db.transaction() as tables:
            row = {"client_id": new.client_id or uuid.uuid4().hex, "kind": new.kind, "title": new.title}
            inserted = tables.table("acts").insert({**row, "author": new.author, "facts": json.dumps(facts)})
            act_id = int(inserted.last_pk or 0)
        token = current_act.set(act_id)
        try:
            yield act_id
        finally:
            current_act.reset(token)

    def note(self, act_id: int, title: str | None = None, **facts: Any) -> None:
        """What came out, for people and for undoing it."""
        known = self.get(act_id)
        with self._db.transaction() as tables:
            told = json.dumps({**known.facts, **facts})
            tables.table("acts").update(act_id, {"title": title or known.title, "facts": told})

    def forget(self, act_id: int) -> None:
        """It did nothing."""
        with self._db.transaction() as tables:
            tables.table("acts").delete(act_id)

    def images(self, act_id: int) -> set[int]:
        """Whose labels it changed."""
        rows = self._db.rows("select distinct image_id from labels where act = ?", [act_id])
        return {row["image_id"] for row in rows}

    def replaced_by(self, act_id: int) -> str:
        """The title of an import that stands and replaced labels of this one; "" for none. Undone first, this one
        would come back with the undo of the later one."""
        return self._in_the_way(f"not a.undone and x.act = {int(act_id)} and y.act != x.act", "y.act")

    def waits_for(self, act_id: int) -> str:
        """As `replaced_by`, for doing an import again: one before it that is undone."""
        return self._in_the_way(f"a.undone and y.act = {int(act_id)} and y.act != x.act", "x.act")

    def _in_the_way(self, where: str, other: str) -> str:
        """`y` revokes the label `x`; both belong to imports."""
        sql = f"""select a.title from labels x join labels y on y.revokes = x.id join acts a on a.id = {other}
                  where {where} and a.kind = 'import' and x.kind != 'revoke' and y.source != '{BY_ACT}' limit 1"""
        return str(self._db.value(sql) or "")

    def take_back(self, act_id: int, author: str) -> None:
        """Revoke what it said that still stands. Raises ValueError where it is undone already."""
        self._flip(act_id, undone=True)
        said = f"act = {int(act_id)} and live and source != '{BY_ACT}'"
        while self._db.number(
            f"select count(*) from labels where {said}"
        ):  # again: what it said and replaced itself
            self._revoke(said, act_id, author)

    def bring_again(self, act_id: int, author: str) -> None:
        """Revoke what took it back. Raises ValueError where it stands."""
        self._flip(act_id, undone=False)
        own = f"select id from labels where act = {act_id} and source != '{BY_ACT}'"
        where = f"act = {act_id} and live and source = '{BY_ACT}' and revokes in ({own})"
        self._revoke(where, act_id, author)

    def revoke_images(self, image_ids: Collection[int], author: str, act_id: int) -> None:
        """Take back all that stands on these images, as a part of this act."""
        ids = ",".join(str(int(each)) for each in image_ids)
        self._revoke(f"image_id in ({ids}) and live and kind != 'revoke'", act_id, author, source="revoked")

    def bring_image_again(self, image_id: int, act_id: int, author: str) -> None:
        """Of what an act took back, all that is about one image."""
        where = f"image_id = {int(image_id)} and act = {int(act_id)} and live and kind = 'revoke'"
        self._revoke(where, act_id, author)

    def _flip(self, act_id: int, *, undone: bool) -> None:
        if self.get(act_id).undone == undone:
            raise ValueError("that step is undone already" if undone else "that step stands already")
        with self._db.transaction() as tables:
            tables.table("acts").update(act_id, {"undone": int(undone)})

    def _revoke(self, where: str, act_id: int, author: str, *, source: str = BY_ACT) -> None:
        """As `insert_revokes`, of any number of rows at once: an import may have brought hundred thousands."""
        prefix = f"act{act_id}-{uuid.uuid4().hex[:12]}-"
        insert = f"""insert into labels (client_id, kind, source, author, image_id, axis, slice, present, revokes, act)
                     select ?1 || id, 'revoke', ?2, ?3, image_id, axis, slice, present, id, ?4
                     from labels where {where} order by id"""
        with self._db.transaction() as tables:
            tables.execute(insert, [prefix, source, author, act_id])
            tables.execute("create temp table settled (id integer primary key)")
            below = [prefix, prefix[:-1] + "."]  # "." comes after "-"
            tables.execute(
                "insert into settled select revokes from labels where client_id > ? and client_id < ?", below
            )
            while tables.execute("select count(*) from settled").fetchone()[0]:
                _settle_all(tables)
            tables.execute("drop table settled")


def _settle_all(tables: Tables) -> None:
    """Bring `live` of these rows in step, then go on with what they revoke."""
    taken_back = "exists (select 1 from labels r where r.revokes = labels.id and r.live)"
    tables.execute(f"update labels set live = not {taken_back} where id in (select id from settled)")
    tables.execute("create temp table below (id integer primary key)")
    tables.execute("""insert or ignore into below select revokes from labels
                      where id in (select id from settled) and revokes is not null""")
    tables.execute("delete from settled")
    tables.execute("insert into settled select id from below")
    tables.execute("drop table below")


def _act(row: dict[str, Any]) -> ActRow:
    return ActRow(**{**row, "facts": json.loads(row["facts"]), "undone": bool(row["undone"])})
