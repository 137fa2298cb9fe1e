"""The numbers that classes have in files. A data set may fix them; the others keep their own number if it is free."""

from collections.abc import Sequence

from storage.database import Database
from storage.rows import ClassRow

HIGHEST_VALUE = 65535


class ClassValues:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def fix(self, class_id: int, value: int) -> bool:
        """From now on a class is this value in files; False where either is fixed otherwise already."""
        if not 1 <= value <= HIGHEST_VALUE:
            raise ValueError(f"a class is a value from 1 to {HIGHEST_VALUE} in files, got {value}")
        with self._db.transaction() as tables:
            tables.execute(
                "delete from class_values where class_id in (select id from classes where removed)"
            )
            tables.execute(
                "insert or ignore into class_values (class_id, value) values (?, ?)", [class_id, value]
            )
        return self._fixed().get(class_id) == value

    def of(self, classes: Sequence[ClassRow]) -> dict[int, int]:
        """Class id -> its value in files; no two have the same."""
        here = {row.id for row in classes}
        values = {class_id: value for class_id, value in self._fixed().items() if class_id in here}
        taken = set(values.values())
        free = max([0, *here, *taken])
        for row in classes:
            if row.id in values:
                continue
            if row.id in taken:
                free += 1
            values[row.id] = free if row.id in taken else row.id
            taken.add(values[row.id])
        return values

    def _fixed(self) -> dict[int, int]:
        rows = self._db.rows("select class_id, value from class_values")
        return {row["class_id"]: row["value"] for row in rows}
