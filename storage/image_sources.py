"""Where images came from, and what their files say about them anew."""

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database as Tables

from storage.database import Database
from storage.events.current_act import current_act
from storage.scan import Scan

HEADER = ("spacing_mm", "marks", "geometry")  # facts of an image that its file's header told


class ImageSources:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def images_from(self, source: str) -> list[int]:
        """The images that came from this path."""
        sql = "select id from images where source = ? and bin is null order by id"
        return [row["id"] for row in self._db.rows(sql, [source])]

    def take_header(self, image_id: int, scan: Scan) -> None:
        """What a header says about the same pixels in the same order: spacing, marks and geometry."""
        new = {"spacing_mm": scan.spacing_mm, "marks": scan.marks, "geometry": scan.geometry}
        with self._db.transaction() as tables:
            _note_in_act(tables, image_id, {"before": self.header(image_id), "after": new})
            self.replace_header(image_id, new)

    def header(self, image_id: int) -> dict[str, Any]:
        """Spacing, marks and geometry as they are kept."""
        facts = json.loads(self._db.value("select facts from images where id = ?", [image_id]))
        return {key: facts[key] for key in HEADER}

    def replace_header(self, image_id: int, header: Mapping[str, Any]) -> None:
        """`header`: as it was given here; the pixels stay."""
        facts = json.loads(self._db.value("select facts from images where id = ?", [image_id]))
        new = {key: header[key] for key in HEADER}
        with self._db.transaction() as tables:
            tables.table("images").update(image_id, {"facts": json.dumps(facts | new)})


def _note_in_act(tables: Tables, image_id: int, header: dict[str, Any]) -> None:
    """So that the import that took a header can be undone as a whole."""
    act_id = current_act.get()
    if act_id is None:
        return
    act = next(tables.query("select facts from acts where id = ?", [act_id]))
    facts = json.loads(act["facts"])
    facts.setdefault("headers", {})[str(image_id)] = header
    tables.table("acts").update(act_id, {"facts": json.dumps(facts)})
