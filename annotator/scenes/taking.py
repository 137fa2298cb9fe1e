"""A scene into a project: nothing is copied but an overview."""

from pathlib import Path

from annotator.exchange.import_act import AUTHOR
from annotator.jobs import Job
from storage.events.acts import NewAct
from storage.formats import FileRefused
from storage.scenes.files import can_be_scene, open_scene
from storage.scenes.overview import make_overview
from storage.scenes.regions import RegionGrid
from storage.scenes.rows import NewScene, SceneRow
from storage.store import Store

NO_SCENE = "a scene is an OME-Zarr folder, a TIFF or a slide; import other files without --scene"


def take_scene(store: Store, path: Path, job: Job) -> SceneRow:
    """The scene that lies at a path, new or not. Raises FileRefused, which names it."""
    path = path.resolve()
    if known := store.scenes.at(path):
        return known
    if not can_be_scene(path):
        raise FileRefused(f"{path.name}: {NO_SCENE}")
    try:
        new = _looked_at(path, job)
    except FileRefused as refusal:
        raise FileRefused(f"{path.name}: {refusal}") from refusal
    with store.acts.doing(NewAct("import", f"Imported {path.name}", AUTHOR)) as act, store.together():
        scene_id = store.scenes.add(new)
        store.acts.note(act, f"Imported {path.name}: a scene", classes=[])
    return store.scenes.get(scene_id)


def _looked_at(path: Path, job: Job) -> NewScene:
    with open_scene(path) as pyramid:
        grid = RegionGrid.usual(pyramid.full.shape)
        told = f"{path.name}: overview"
        overview = make_overview(
            pyramid, grid, lambda done, count: job.report("importing", done, count, told)
        )
        return NewScene(
            path=path,
            grid=grid,
            channels=pyramid.full.channels,
            dtype=pyramid.full.array.dtype.name,
            spacing_mm=pyramid.spacing_mm,
            look=overview.look,
            pictures=overview.pictures,
            lost=overview.lost,
        )
