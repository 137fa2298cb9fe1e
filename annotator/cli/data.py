"""`tag`, `groups`, `export` and `status`: what is said about images, and what comes out of a project."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.cli.common import (
    Options,
    Parser,
    print_refused,
    require_project,
    terminal_job,
)

if TYPE_CHECKING:
    from storage.store import Store


def fill_tag(command: Parser) -> None:
    command.add_argument("project", type=Path, help="the project's folder")
    command.add_argument(
        "--csv", type=Path, required=True, help="a table with the columns image,class,present[,slice]"
    )


def run_tag(options: Options) -> int:
    """Import tags: which classes are on which images or slices. Bad rows are skipped; each gets a line that says
    why."""
    from annotator.exchange.import_tags import import_tags
    from storage.store import Store

    for path, what in ((options.project / "project.db", "a project"), (options.csv, "a CSV file")):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; give {what}")
    store = Store(options.project)
    try:
        report = import_tags(store, options.csv)
    finally:
        store.close()
    print_refused(report.refused)
    print(f"{report.tagged} tags imported into {options.project}, {len(report.refused)} rows refused")
    return 0 if report.tagged or not report.refused else 1


def fill_groups(command: Parser) -> None:
    command.add_argument("csv", type=Path, help="a table with the columns image (or file) and group")
    require_project(command)
    command.add_argument("--column", default="group", help="the column that names the group")


def run_groups(options: Options) -> int:
    """Say which site, stain or scanner images come from. Bad rows are skipped; each gets a line that says why."""
    from annotator.learning.image_groups import import_groups
    from storage.store import Store

    if not (options.project / "project.db").exists():
        raise FileNotFoundError(f"{options.project} is not a project; import images into it first")
    store = Store(options.project)
    try:
        report = import_groups(store, options.csv, options.column)
    finally:
        store.close()
    print_refused(report.refused)
    print(f"{report.said} images have a group now, {len(report.refused)} rows refused")
    return 0 if report.said or not report.refused else 1


def fill_export(command: Parser) -> None:
    from annotator.exchange.writers import WRITERS

    command.add_argument("target", type=Path, help="the folder or .zip file to write")
    require_project(command)
    command.add_argument(
        "--format",
        action="append",
        choices=list(WRITERS),
        help="default: nifti, png and coco, as they fit; may be repeated",
    )
    command.add_argument("--ignore", type=int, help="value of unlabelled voxels; 0 without it")
    command.add_argument(
        "--originals",
        type=Path,
        help="the folder that images came from; DICOM-SEG and RTSTRUCT need their headers",
    )
    command.add_argument("--image", type=int, action="append", help="only this image number; may be repeated")


def run_export(options: Options) -> int:
    """Export masks on the images' own grids, COCO JSON and provenance. The project may be open meanwhile."""
    from annotator.exchange.export_labels import ExportRequest, export
    from annotator.exchange.writers import usual_formats
    from storage.store import Store

    images = tuple(options.image) if options.image else None
    request = ExportRequest(
        tuple(options.format or usual_formats()), options.ignore, images, _folder(options.originals)
    )
    job, store = terminal_job("export"), Store.read_only(options.project)
    try:
        path = export(store, options.target, request, job)
    finally:
        store.close()
    print(f"exported to {path}")
    return 0


def _folder(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder; give the folder that the images came from")
    return path


def fill_status(command: Parser) -> None:
    require_project(command)
    command.add_argument("--json", action="store_true", help="print JSON, for scripts")


def run_status(options: Options) -> int:
    """Show what a project holds and how much of it is labelled. The project may be open meanwhile."""
    from storage.store import Store

    store = Store.read_only(options.project)
    try:
        facts = _status(store)
    finally:
        store.close()
    lines = (f"{key}: {_plain(value)}" for key, value in facts.items())
    print(json.dumps(facts, indent=2) if options.json else "\n".join(lines))
    return 0


def _status(store: "Store") -> dict[str, Any]:
    from annotator.learning.quality.model_quality import model_quality, what_would_judge
    from annotator.learning.quality.object_words import object_sentences
    from annotator.prompting.service import list_models
    from learners import LEARNERS

    total, rows = store.images(limit=-1)
    counts = store.slice_counts([row.id for row in rows])
    qualities = {name: quality for name in LEARNERS if (quality := model_quality(store, name))}
    judged = {name: round(quality.dice, 4) for name, quality in qualities.items()}
    taught = [name for name, quality in qualities.items() if quality.slices]  # it flatters
    return {
        "project": str(store.root),
        "images": total,
        "classes": [c.name for c in store.classes()],
        "newest_label": store.newest_label(),
        "images_labelled": sum(1 for labelled, _, _ in counts.values() if labelled),
        "slices_labelled": sum(labelled for labelled, _, _ in counts.values()),
        "slices_complete": sum(complete for _, complete, _ in counts.values()),
        "held_out_dice": judged,
        **({"on_slices_of_images_that_taught": taught} if taught else {}),
        **({} if judged else {"to_get_one": what_would_judge(store)}),
        "held_out_objects": [
            f"{name}: {line}"
            for name, quality in qualities.items()
            for line in object_sentences(store, quality.objects)
        ],
        "models": {m["name"]: m["state"] for m in list_models()},
    }


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} ({state})" for key, state in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
