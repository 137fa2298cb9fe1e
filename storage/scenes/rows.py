"""Scenes as a project notes them, and which images are regions of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.database import Database
from storage.events.current_act import current_act
from storage.scenes.regions import GridPlace, RegionGrid

IN_SIGHT = "(s.act is null or not coalesce((select undone from acts where acts.id = s.act), 0))"


@dataclass(frozen=True)
class SceneLook:
    """How all regions of a scene are shown, so that they look like parts of one picture."""

    windows: tuple[tuple[float, float], ...]  # of each channel
    names: tuple[str, ...] = ()  # of channels that are no colours
    colors: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewScene:
    """A scene before it has an id."""

    path: Path
    grid: RegionGrid
    channels: int
    dtype: str
    spacing_mm: tuple[float, float, float] | None  # (z, y, x)
    look: SceneLook
    pictures: tuple[bytes, ...]  # its overview: a WebP for each slab
    lost: int = 0  # pieces of the file that could not be read for it


@dataclass(frozen=True)
class SceneRow:
    """One image that is read in place."""

    id: int
    name: str
    path: Path
    grid: RegionGrid
    channels: int
    dtype: str
    spacing_mm: tuple[float, float, float] | None  # (z, y, x)
    look: SceneLook
    lost: int  # pieces of the file that could not be read when its overview was made
    created_at: str


@dataclass(frozen=True)
class RegionRow:
    """An image that is a part of a scene."""

    image_id: int
    scene_id: int
    place: GridPlace


class Scenes:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[SceneRow]:
        return [_scene(row) for row in self._db.rows(f"select * from scenes s where {IN_SIGHT} order by id")]

    def get(self, scene_id: int) -> SceneRow:
        rows = self._db.rows(f"select * from scenes s where id = ? and {IN_SIGHT}", [scene_id])
        if not rows:
            raise LookupError(f"there is no scene {scene_id} in this project; reload the page")
        return _scene(rows[0])

    def at(self, path: Path) -> SceneRow | None:
        """The scene that lies there."""
        rows = self._db.rows(f"select * from scenes s where path = ? and {IN_SIGHT}", [str(path)])
        return _scene(rows[0]) if rows else None

    def add(self, new: NewScene) -> int:
        """As a part of the act under way; the id."""
        z, y, x = new.grid.shape
        facts = {**new.grid.json(), **asdict(new.look), "spacing_mm": new.spacing_mm, "lost": new.lost}
        row = {"name": self._free_name(new.path.name), "path": str(new.path), "z": z, "y": y, "x": x}
        row |= {
            "channels": new.channels,
            "dtype": new.dtype,
            "facts": json.dumps(facts),
            "act": current_act.get(),
        }
        with self._db.transaction() as tables:
            scene_id = int(tables.table("scenes").insert(row).last_pk or 0)
            for slab, picture in enumerate(new.pictures):
                sql = "insert into scene_overviews (scene_id, slab, picture) values (?, ?, ?)"
                tables.execute(sql, [scene_id, slab, picture])
        return scene_id

    def overview(self, scene_id: int, slab: int) -> bytes:
        """A WebP file. Raises LookupError."""
        sql = "select picture from scene_overviews where scene_id = ? and slab = ?"
        picture = self._db.value(sql, [scene_id, slab])
        if picture is None:
            raise LookupError(f"scene {scene_id} has no slab {slab}; reload the page")
        return bytes(picture)

    def add_region(self, image_id: int, scene_id: int, place: GridPlace) -> None:
        """Inside the transaction that adds the image."""
        names = dict(zip(("slab", "line", "place"), place, strict=True))
        with self._db.transaction() as tables:
            tables.table("regions").insert({"image_id": image_id, "scene_id": scene_id, **names})

    def regions(self, scene_id: int) -> list[RegionRow]:
        """Those in sight, one for each place: the newest."""
        sql = """select max(r.image_id) as image_id, r.scene_id, slab, line, place
                 from regions r join images i on i.id = r.image_id
                 where r.scene_id = ? and i.bin is null group by slab, line, place order by r.image_id"""
        return [_region(row) for row in self._db.rows(sql, [scene_id])]

    def region_at(self, scene_id: int, place: GridPlace) -> int | None:
        """The image that this region was opened as."""
        sql = """select max(r.image_id) from regions r join images i on i.id = r.image_id
                 where r.scene_id = ? and slab = ? and line = ? and place = ? and i.bin is null"""
        found: int | None = self._db.value(sql, [scene_id, *place])
        return found

    def region_of(self, image_id: int) -> RegionRow | None:
        """Where an image lies in a scene, if it is a region of one."""
        sql = (
            f"select r.* from regions r join scenes s on s.id = r.scene_id where image_id = ? and {IN_SIGHT}"
        )
        rows = self._db.rows(sql, [image_id])
        return _region(rows[0]) if rows else None

    def _free_name(self, name: str) -> str:
        shown = "".join(c if c.isprintable() else "_" for c in name)
        taken = {row["name"] for row in self._db.rows("select name from scenes")}
        return next(one for one in _numbered(shown, len(taken) + 2) if one not in taken)


def _numbered(name: str, count: int) -> Sequence[str]:
    return [name, *(f"{name} ({n})" for n in range(2, count + 1))]


def _region(row: dict[str, Any]) -> RegionRow:
    return RegionRow(row["image_id"], row["scene_id"], (row["slab"], row["line"], row["place"]))


def _scene(row: dict[str, Any]) -> SceneRow:
    facts = json.loads(row["facts"])
    shape = row["z"], row["y"], row["x"]
    windows = tuple((low, high) for low, high in facts["windows"])
    return SceneRow(
        id=row["id"],
        name=row["name"],
        path=Path(row["path"]),
        grid=RegionGrid(shape, tuple(facts["size"]), tuple(facts["margin"])),
        channels=row["channels"],
        dtype=row["dtype"],
        spacing_mm=tuple(facts["spacing_mm"]) if facts["spacing_mm"] else None,
        look=SceneLook(windows, tuple(facts["names"]), tuple(facts["colors"])),
        lost=facts["lost"],
        created_at=row["created_at"],
    )
