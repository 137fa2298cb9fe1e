"""What the map of a scene shows, and opening one of its regions as an image."""

import threading
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from annotator.labels.commit import Refused
from annotator.labels.progress import Progress
from annotator.text import sentence
from storage.image_sources import digest_of
from storage.image_states import ImageState
from storage.scan import Scan
from storage.scenes.regions import GridPlace
from storage.scenes.rows import SceneRow
from storage.store import Store

DAMAGED = "its scene is damaged here: "  # how a remark of a region starts that is told when it is opened


@dataclass(frozen=True)
class OpenedRegion:
    image: int
    new: bool
    problem: str = ""  # a sentence: what of it could not be read


class SceneMaps:
    """Thread-safe."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store, self._progress = store, progress
        self._opening = threading.Lock()  # one region at a time: two people may ask for the same one

    def listed(self) -> list[dict[str, Any]]:
        """Of the project's facts: what scenes there are."""
        return [{"id": scene.id, "name": scene.name} for scene in self._store.scenes.all()]

    def map(self, scene_id: int) -> dict[str, Any]:
        """The scene with its grid, and how each region that was opened stands."""
        scene, store = self._store.scenes.get(scene_id), self._store
        self._progress.catch_up()
        regions = store.scenes.regions(scene_id)
        states = store.image_states.of([region.image_id for region in regions])
        return {
            "id": scene.id,
            "name": scene.name,
            "size": scene.grid.shape,
            "counts": scene.grid.counts,
            "region": scene.grid.size,
            "lost": scene.lost,
            "regions": [
                {"at": region.place, "image": region.image_id, **_state(states.get(region.image_id))}
                for region in regions
            ],
        }

    def place_of(self, image_id: int) -> dict[str, Any] | None:
        """Of an image: the scene that it is a region of, and where; None where it is none."""
        region = self._store.scenes.region_of(image_id)
        if region is None:
            return None
        scene = self._store.scenes.get(region.scene_id)
        return {"id": scene.id, "name": scene.name, "at": region.place, "counts": scene.grid.counts}

    def open(self, scene_id: int, place: GridPlace) -> OpenedRegion:
        """The image of a region, read from the scene where it is not there yet. Raises LookupError and Refused."""
        scene = self._store.scenes.get(scene_id)
        scene.grid.check(place)
        with self._opening:
            known = self._store.scenes.region_at(scene_id, place)
            return OpenedRegion(known, new=False) if known is not None else self._read(scene, place)

    def _read(self, scene: SceneRow, place: GridPlace) -> OpenedRegion:
        store = self._store
        if store.looking:
            raise Refused(store.looking)
        scan = _region_scan(scene, place)
        problems = [one.removeprefix(DAMAGED) for one in scan.remarks if one.startswith(DAMAGED)]
        with store.together():
            image_id = store.find_image(scan) or store.add_images({digest_of(scan): scan})[0]
            store.scenes.add_region(image_id, scene.id, place)
        return OpenedRegion(image_id, new=True, problem=sentence("; ".join(problems)) if problems else "")


def _region_scan(scene: SceneRow, place: GridPlace) -> Scan:
    """Raises Refused."""
    from storage.formats import FileRefused  # the readers take a second to load
    from storage.scenes.files import open_scene
    from storage.scenes.region import region_scan

    name = f"{PurePath(scene.name).stem} {scene.grid.name(place)}"
    try:
        with open_scene(scene.path) as pyramid:
            if pyramid.full.shape != scene.grid.shape or pyramid.full.channels != scene.channels:
                raise FileRefused("it is another image than it was; import it anew under another name")
            scan = region_scan(pyramid, scene.grid.outer(place), scene.look, name)
    except FileRefused as refusal:
        raise Refused(f"{scene.name} cannot be opened here: {refusal}") from refusal
    return replace(scan, source=f"{scene.name}/{scene.grid.name(place)}")


def _state(state: ImageState | None) -> dict[str, Any]:
    return {"state": state.state, "known": state.known} if state else {"state": "todo", "known": 0}
