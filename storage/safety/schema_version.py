"""Which version's tables a project has: what a newer version of the app made is neither read nor written."""

import sqlite3

from storage.schema import migration

HISTORY = "_sqlite_migrations"  # where sqlite-utils notes what was applied


class NewerProject(RuntimeError):
    """A newer version of the app made the project's tables, so that this one cannot know what they mean."""


def newest_known() -> int:
    """The number of the newest migration of this version."""
    return max(number_of(one.name) for one in migration._migrations)


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Before anything of a database is read or written. Raises NewerProject."""
    found = "select 1 from sqlite_master where name = ?"
    if connection.execute(found, [HISTORY]).fetchone() is None:
        return
    rows = connection.execute(f"select name from {HISTORY} where migration_set = ?", [migration.name])
    newest, known = max((number_of(name) for (name,) in rows), default=0), newest_known()
    if newest > known:
        raise NewerProject(
            f"a newer version of Slicewise made this project (its tables have number {newest}, this version knows "
            f"{known}); update Slicewise to open it, nothing was changed"
        )


def number_of(name: str) -> int:
    """Of a migration, by its name: m015_withheld is 15. 0 for a name of another shape."""
    number = name[1:].split("_")[0]
    return int(number) if name.startswith("m") and number.isdecimal() else 0
