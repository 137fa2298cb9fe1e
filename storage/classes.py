"""The classes of a project. A number is given again when no label carries it any more, and never mistaken."""

import json
from typing import Any

from sqlite_utils import Database as Tables

from storage.arrays import MAX_CLASS
from storage.database import Database
from storage.events.relabels import class_now, pairs_after, relabels_of
from storage.rows import ClassCode, ClassRow

PALETTE = (
    "#ef5350 #42a5f5 #66bb6a #ffca28 #ab47bc #26c6da #ff7043 #9ccc65 #ec407a #5c6bc0 #8d6e63 #26a69a".split()
)
FULL = f"a project holds at most {MAX_CLASS} classes; merge two of them first"
FORMER = "former_class_names"  # setting: name -> [number, made] of the class that had it
SAYING = "kind in ('patch', 'tag')"  # events that name classes


class ClassRows:
    """Thread-safe. Which labels use a class is for the caller to know, see `Store.remove_class`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[ClassRow]:
        sql = "select id, name, color, since, made, code, objects from classes where not removed order by id"
        return [_class(row) for row in self._db.rows(sql)]

    def get(self, class_id: int) -> ClassRow:
        """Raises LookupError where it is not there, or not any more."""
        found = next((row for row in self.all() if row.id == class_id), None)
        if found is None:
            raise LookupError(f"there is no class {class_id} in this project; reload the page")
        return found

    def removed(self) -> dict[int, str]:
        """Number -> name of those that are gone and could come back."""
        return {row["id"]: row["name"] for row in self._db.rows("select id, name from classes where removed")}

    def made(self, class_id: int) -> int:
        """When this number got the class that has it, gone or not; compare it, it is no time."""
        return self._db.number("select coalesce(max(made), 0) from classes where id = ?", [class_id])

    def add(self, name: str, color: str | None = None, *, objects: bool = False) -> ClassRow:
        """A new class, or the removed one of that name again, as it was. Raises ValueError where the name is taken."""
        name = clean_name(name)
        with self._db.transaction() as tables:
            old = next(tables.query("select * from classes where name = ?", [name]), None)
            if old and not old["removed"]:
                raise ValueError(f"there is a class {name!r} already; choose another name")
            if old:
                class_id, since, made = old["id"], old["since"], old["made"]
            else:
                class_id, since = self._free_number(tables)
                tables.execute(
                    "delete from class_values where class_id = ?", [class_id]
                )  # of who had the number
                made = int(tables.execute("select coalesce(max(made), 0) + 1 from classes").fetchone()[0])
            color = color or PALETTE[(class_id - 1) % len(PALETTE)]
            code = old["code"] if old else ""  # not that of who had the number
            row = {"id": class_id, "name": name, "color": color, "since": since, "made": made, "code": code}
            row["objects"] = old["objects"] if old else int(objects)
            tables.table("classes").upsert({**row, "removed": 0}, pk="id")
        return _class(row)

    def former(self) -> dict[str, str]:
        """Name that a class had -> its name today; not where another class has that name now."""
        rows = {row.id: row for row in self.all()}
        there = {row.name for row in rows.values()}
        return {
            name: rows[class_id].name
            for name, (class_id, made) in self._former().items()
            if name not in there and class_id in rows and rows[class_id].made == made
        }

    def _former(self) -> dict[str, tuple[int, int]]:
        told = self._db.value("select value from settings where key = ?", [FORMER])
        return json.loads(told) if told else {}

    def rename(self, class_id: int, name: str) -> None:
        """Its name until now still means it where files say it."""
        name = clean_name(name)
        known = self.get(class_id)
        if any(c.name == name and c.id != class_id for c in self.all()):
            raise ValueError(f"there is a class {name!r} already; choose another name")
        with self._db.transaction() as tables:
            for old in list(tables.query("select id from classes where name = ? and removed", [name])):
                tables.table("classes").update(old["id"], {"name": _aside(tables, name)})
            tables.table("classes").update(class_id, {"name": name})
            former = {**self._former(), known.name: (class_id, known.made)}
            tables.table("settings").upsert({"key": FORMER, "value": json.dumps(former)}, pk="key")

    def recolor(self, class_id: int, color: str) -> None:
        self.get(class_id)
        with self._db.transaction() as tables:
            tables.table("classes").update(class_id, {"color": color})

    def set_code(self, class_id: int, text: str) -> None:
        """ "SCT 10200004 Liver"; an empty text takes it away. Raises ValueError."""
        code = ClassCode.parse(text, self.get(class_id).name)
        with self._db.transaction() as tables:
            tables.table("classes").update(class_id, {"code": str(code or "")})

    def set_objects(self, class_id: int, on: bool) -> None:
        """Whether what is labelled from now on gets numbers; what is labelled stays as it is."""
        self.get(class_id)
        with self._db.transaction() as tables:
            tables.table("classes").update(class_id, {"objects": int(on)})

    def remove(self, class_id: int) -> None:
        """Off the list."""
        self.get(class_id)
        with self._db.transaction() as tables:
            tables.table("classes").update(class_id, {"removed": 1})

    def bring_back(self, class_ids: set[int]) -> bool:
        """Put removed ones on the list again, because labels carry them again; whether there were any."""
        back = sorted(class_ids & self.removed().keys())
        with self._db.transaction() as tables:
            for class_id in back:
                tables.table("classes").update(class_id, {"removed": 0})
        return bool(back)

    def check_meanings(self) -> None:
        """Raises ValueError where a living event meant a class whose number another one has by now: for inside a
        transaction that brought events back."""
        sql = f"""select l.id, l.image_id, c.id as class, c.name from classes c
                  join labels l on l.live and l.{SAYING} and l.id <= c.since
                  where c.since and exists (select 1 from json_each(l.classes) where value = c.id)"""
        for row in self._db.rows(sql):
            relabels = relabels_of(self._db, [row["image_id"]]).get(row["image_id"], [])
            if class_now(row["class"], pairs_after(relabels, row["id"])) == row["class"]:
                raise ValueError(
                    f"the class of that step was removed, and {row['name']!r} has its number now; draw it anew"
                )

    def _free_number(self, tables: Tables) -> tuple[int, int]:
        """A number for a new class, and the newest event, which cannot have meant it. Those that never were come
        first, then those that no event names, then those that no living event names."""
        newest = int(tables.execute("select coalesce(max(id), 0) from classes").fetchone()[0])
        if newest < MAX_CLASS:
            return newest + 1, 0
        gone = sorted(self.removed())
        for named in (self._named(live=False), self._named(live=True)):
            for class_id in gone:
                if class_id not in named:
                    return class_id, self._db.number("select coalesce(max(id), 0) from labels")
        raise ValueError(FULL)

    def _named(self, *, live: bool) -> set[int]:
        """Classes that events name, as they are read today where `live`."""
        sql = f"""select l.id, l.image_id, j.value as class from labels l, json_each(l.classes) j
                  where l.{SAYING} and (l.live or not ?) and j.value between 1 and {MAX_CLASS}
                  union select id, image_id, json_extract(prompts, '$.box_of') from labels
                  where (live or not ?) and json_type(prompts, '$.box_of') = 'integer'"""
        rows = self._db.rows(sql, [live, live])
        relabels = relabels_of(self._db) if live else {}
        return {_now(row, relabels.get(row["image_id"], [])) for row in rows}


def _class(row: dict[str, Any]) -> ClassRow:
    told = {"code": ClassCode.parse(row["code"], row["name"]), "objects": bool(row["objects"])}
    return ClassRow(**{**row, **told})


def _now(row: dict[str, Any], relabels: list[Any]) -> int:
    return class_now(row["class"], pairs_after(relabels, row["id"]))


def _aside(tables: Tables, name: str) -> str:
    """Another name for a removed class, so that this one is free."""
    taken = {row["name"] for row in tables.query("select name from classes")}
    return next(c for n in range(1, len(taken) + 2) if (c := f"{name} (removed {n})") not in taken)


def clean_name(name: str) -> str:
    """Raises ValueError."""
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > 80 or not cleaned.isprintable():
        raise ValueError("a name has 1 to 80 printable characters")
    return cleaned
