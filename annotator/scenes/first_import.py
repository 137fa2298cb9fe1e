"""What somebody names on the command line: read in place as a scene, or imported. Nobody names paths on the page."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.jobs import Job
from annotator.protocol import outgoing

if TYPE_CHECKING:
    from annotator.web.context import AppContext


NO_MASKS = "{} was not imported: a scene takes no masks"


@dataclass(frozen=True)
class FirstImport:
    data: Path
    labels: Path | None = None
    scene: bool = False  # read in place, however small it is


def opens_in_place(path: Path, asked: bool) -> bool:
    from storage.scenes.files import is_scene  # the readers take a second to load

    return asked or is_scene(path)


def run_first_import(context: "AppContext", first: FirstImport, job: Job) -> None:
    """Into the open project; the lines that an import refused are the job's."""
    if not opens_in_place(first.data, first.scene):
        from annotator.web.api_uploads import run_import

        run_import(context, first.data, job, first.labels)
        return
    from annotator.scenes.taking import take_scene

    if first.labels is not None:
        job.refuse(NO_MASKS.format(first.labels.name))
    scene = take_scene(context.workflow.store, first.data, job)
    slabs, rows, columns = scene.grid.counts
    told = f"{scene.name} is a scene of {slabs * rows * columns:,} regions; open one on its map (Shift+M)"
    job.report("importing", slabs, slabs, told)
    context.hub.post(outgoing.project())
