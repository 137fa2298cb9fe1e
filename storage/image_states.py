"""How far each image is, for lists of any length: labelled, proposed, held out, marked; filtered and sorted in SQL."""

from dataclasses import dataclass
from typing import Any, Literal

from storage.database import Database

Trait = Literal["flag", "first", "skip"]  # the table and the wire call it a mark

# The state of an image is the first of these that holds.
RANKS = ("complete", "accepted", "labelled", "proposed", "untouched")

FILTERS = {
    "": "1",
    **{state: f"state = {rank}" for rank, state in enumerate(RANKS)},
    "held_out": "held_out",
    "flagged": "flagged",
    "first": "first",
    "skipped": "skipped",
}
SORTS = {
    "added": "id",
    "name": "name collate nocase",
    "state": "state",
    "model": "producer is null, producer collate nocase, round_id",
    "expected": "expected_dice is null, expected_dice",
}

STATES = """
with said as (
    select image_id, max(kind = 'complete') as complete, max(kind = 'patch' and source = 'accepted') as accepted,
           max(kind = 'patch') as drawn
    from labels where live and kind in ('patch', 'complete') group by image_id
), newest as (
    select image_id, producer, round_id, expected_dice from predictions
    where id in (select max(id) from predictions group by image_id)
), held as (select distinct image_id from held_out
), marked as (
    select image_id, max(mark = 'flag') as flagged, max(mark = 'first') as first, max(mark = 'skip') as skipped
    from image_marks group by image_id
), states as (
    select i.id, i.name, newest.producer, newest.round_id, newest.expected_dice,
           case when said.complete then 0 when said.accepted then 1 when said.drawn then 2
                when newest.image_id is not null then 3 else 4 end as state,
           held.image_id is not null as held_out, coalesce(flagged, 0) as flagged, coalesce(first, 0) as first,
           coalesce(skipped, 0) as skipped
    from images i left join said on said.image_id = i.id left join newest on newest.image_id = i.id
    left join held on held.image_id = i.id left join marked on marked.image_id = i.id
)"""


@dataclass(frozen=True)
class ImageQuery:
    """Which images, in which order. Raises ValueError for a filter or an order that does not exist."""

    search: str = ""  # part of the name, or of the name of the model that proposed
    state: str = ""
    sort: str = "added"
    down: bool = False  # last first

    def __post_init__(self) -> None:
        for value, known in ((self.state, FILTERS), (self.sort, SORTS)):
            if value not in known:
                raise ValueError(
                    f"images cannot be listed by {value!r}; there are: {', '.join(filter(None, known))}"
                )


@dataclass(frozen=True)
class ImageState:
    id: int
    state: str  # one of RANKS
    producer: str | None  # who made the newest proposal
    round_id: int | None
    expected_dice: float | None
    held_out: bool
    flagged: bool
    first: bool
    skipped: bool


class ImageStates:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, query: ImageQuery, offset: int, limit: int) -> tuple[int, list[ImageState]]:
        """How many images match, and some of them in order."""
        pattern = "%" + query.search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        where = f"{FILTERS[query.state]} and (name like ?1 escape '\\' or ?1 != '%%' and producer like ?1 escape '\\')"
        order = SORTS[query.sort]
        if query.down:  # what has no value stays last
            order = ", ".join(part if "is null" in part else f"{part} desc" for part in order.split(", "))
        sql = f"""{STATES} select *, count(*) over () as total from states where {where}
                  order by {order}, id limit ?2 offset ?3"""
        rows = self._db.rows(sql, [pattern, limit, offset])
        if rows:
            return rows[0]["total"], [_state(row) for row in rows]
        return self._db.value(f"{STATES} select count(*) from states where {where}", [pattern]), []

    def set_trait(self, image_id: int, trait: Trait, on: bool, author: str) -> None:
        """Saying it twice changes nothing."""
        with self._db.transaction() as tables:
            if on:
                sql = "insert or ignore into image_marks (image_id, mark, author) values (?, ?, ?)"
                tables.execute(sql, [image_id, trait, author])
            else:
                tables.execute("delete from image_marks where image_id = ? and mark = ?", [image_id, trait])

    def with_trait(self, trait: Trait) -> list[int]:
        """Images with this trait, in the order in which people said so, whatever the clock showed."""
        sql = "select image_id from image_marks where mark = ? order by rowid"
        return [row["image_id"] for row in self._db.rows(sql, [trait])]


def _state(row: dict[str, Any]) -> ImageState:
    flags = {name: bool(row[name]) for name in ("held_out", "flagged", "first", "skipped")}
    keep = {name: row[name] for name in ("id", "producer", "round_id", "expected_dice")}
    told: dict[str, Any] = keep | flags
    return ImageState(**told, state=RANKS[row["state"]])
