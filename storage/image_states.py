"""How far each image is, for lists of any length: to do, proposed, in work, done; filtered and sorted in SQL."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from storage.database import Database

Trait = Literal["flag", "first", "skip"]  # the table and the wire call it a mark

# The state of an image is the first of these that holds: people spoke about every voxel, about some, nobody did and
# something is proposed, or nothing is.
RANKS = ("done", "work", "proposed", "todo")

FILTERS = {
    "": "1",
    **{state: f"state = {rank}" for rank, state in enumerate(RANKS)},
    "left": "state > 0",  # all but what is done
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
    select image_id, max(id) as rev, max(live and kind in ('patch', 'complete')) as any
    from labels where present is null group by image_id
), counted as (
    select p.image_id, p.unsaid from image_progress p join said on said.image_id = p.image_id and said.rev = p.rev
), newest as (
    select image_id, producer, round_id, expected_dice from predictions
    where id in (select max(id) from predictions where withheld is null group by image_id)
), held as (select distinct image_id from held_out
), marked as (
    select image_id, max(mark = 'flag') as flagged, max(mark = 'first') as first, max(mark = 'skip') as skipped
    from image_marks group by image_id
), states as (
    select i.id, i.name, newest.producer, newest.round_id, newest.expected_dice,
           case when said.any and counted.unsaid = 0 then 0 when said.any then 1
                when newest.image_id is not null then 2 else 3 end as state,
           iif(said.any, 1.0 - 1.0 * counted.unsaid / (i.z * i.y * i.x), 0.0) as known,
           held.image_id is not null as held_out, coalesce(flagged, 0) as flagged, coalesce(first, 0) as first,
           coalesce(skipped, 0) as skipped
    from images i left join said on said.image_id = i.id left join counted on counted.image_id = i.id
    left join newest on newest.image_id = i.id
    left join held on held.image_id = i.id left join marked on marked.image_id = i.id where i.bin is null
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
    known: float | None  # share of its voxels that people spoke about; None while nobody counted
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

    def of(self, ids: Collection[int]) -> dict[int, ImageState]:
        """How these images stand, those in sight."""
        places = ",".join("?" * len(ids))
        rows = self._db.rows(f"{STATES} select * from states where id in ({places})", list(ids))
        return {row["id"]: _state(row) for row in rows}

    def counts(self) -> dict[str, int]:
        """How many images of the project are in each state."""
        rows = self._db.rows(f"{STATES} select state, count(*) as n from states group by state")
        return dict.fromkeys(reversed(RANKS), 0) | {RANKS[row["state"]]: row["n"] for row in rows}

    def uncounted(self) -> list[int]:
        """Images whose labels are newer than what was counted of them."""
        sql = """select image_id, max(id) as rev from labels where present is null
                 and image_id in (select id from images where bin is null) group by image_id
                 except select image_id, rev from image_progress"""
        return [row["image_id"] for row in self._db.rows(sql)]

    def note_counted(self, counted: dict[int, tuple[int, int]]) -> None:
        """Per image: the newest event when it was counted, and the voxels that nobody spoke about."""
        rows = [{"image_id": i, "rev": rev, "unsaid": unsaid} for i, (rev, unsaid) in counted.items()]
        with self._db.transaction() as tables:
            tables.table("image_progress").upsert_all(rows, pk="image_id")

    def set_trait(self, image_id: int, trait: Trait, on: bool, author: str) -> None:
        """Saying it twice changes nothing."""
        with self._db.transaction() as tables:
            if on:
                sql = "insert or ignore into image_marks (image_id, mark, author) values (?, ?, ?)"
                tables.execute(sql, [image_id, trait, author])
            else:
                tables.execute("delete from image_marks where image_id = ? and mark = ?", [image_id, trait])

    def labelled_by(self, author: str) -> set[int]:
        """The images of which something stands that this author said."""
        sql = (
            "select distinct image_id from labels where author = ? and live and kind in ('patch', 'complete')"
        )
        return {row["image_id"] for row in self._db.rows(sql, [author])}

    def ids(self) -> set[int]:
        """Of all images that are not in the bin."""
        return {row["id"] for row in self._db.rows("select id from images where bin is null")}

    def with_trait(self, trait: Trait) -> list[int]:
        """Images with this trait, in the order in which people said so, whatever the clock showed."""
        sql = "select image_id from image_marks where mark = ? order by rowid"
        return [row["image_id"] for row in self._db.rows(sql, [trait])]


def _state(row: dict[str, Any]) -> ImageState:
    flags = {name: bool(row[name]) for name in ("held_out", "flagged", "first", "skipped")}
    keep = {name: row[name] for name in ("id", "producer", "round_id", "expected_dice", "known")}
    told: dict[str, Any] = keep | flags
    return ImageState(**told, state=RANKS[row["state"]])
