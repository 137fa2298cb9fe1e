"""Where images came from, and what their files say about them anew."""

import json

from storage.database import Database
from storage.scan import Scan


class ImageSources:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def images_from(self, source: str) -> list[int]:
        """The images that came from this path."""
        return [
            row["id"] for row in self._db.rows("select id from images where source = ? order by id", [source])
        ]

    def take_header(self, image_id: int, scan: Scan) -> None:
        """What a header says about the same pixels in the same order: spacing, marks and geometry."""
        new = {"spacing_mm": scan.spacing_mm, "marks": scan.marks, "geometry": scan.geometry}
        with self._db.transaction() as tables:
            row = next(tables.query("select facts from images where id = ?", [image_id]))
            tables.table("images").update(image_id, {"facts": json.dumps(json.loads(row["facts"]) | new)})
