"""The images of the project as the clients list, fetch, send and delete them."""

from pathlib import Path
from typing import Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import Response

from annotator.dialects.monai.desk import Desk
from annotator.dialects.monai.forms import download, file_of, form_of, on_disk, params_of
from annotator.dialects.monai.info import image_info
from annotator.dialects.subjects import image_of, key_of, label_names, subject_of
from annotator.jobs import Job
from annotator.protocol import outgoing
from annotator.web.context import person
from storage.arrays import open_npy
from storage.events.tool_notes import IMAGE, ToolNote
from storage.formats.nifti import packed_image
from storage.formats.packed import QUICK
from storage.rows import ImageRow

EXTENSION = ".nii.gz"
AT_ONCE = 5000  # images in one question to the database


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/datastore")
    _add_lists(router, desk)
    _add_images(router, desk)
    return router


def _add_lists(router: APIRouter, desk: Desk) -> None:
    @router.get("/")
    async def listed(output: Literal["stats", "all", "train"] = "stats") -> Any:
        told = {"stats": _stats, "all": _all, "train": _train}
        return await run_sync(told[output], desk)

    @router.get("/image/info")
    async def info(image: str) -> Any:
        return await run_sync(image_info, desk, image)

    @router.put("/image/info")
    async def note(request: Request, image: str) -> Any:
        said, user = params_of(await form_of(request), "info"), person(request)
        store = desk.context.workflow.store
        row = image_of(store, image)
        before = store.tool_notes.of(row.id).get(IMAGE)
        both = {**(before.info if before else {}), **said}
        await run_sync(store.tool_notes.keep, row.id, ToolNote(IMAGE, 0, user, both))
        return {}


def _add_images(router: APIRouter, desk: Desk) -> None:
    store, context = desk.context.workflow.store, desk.context

    @router.head("/image")
    async def there(image: str) -> Response:
        image_of(store, image)
        return Response()

    @router.get("/image")
    async def fetch(image: str) -> Response:
        row = image_of(store, image)
        content = await run_sync(_packed, row, limiter=context.reading)
        return download(f"{key_of(row)}{EXTENSION}", content)

    @router.put("/")
    @router.put("/image")
    async def send(request: Request, image: str = "") -> Any:
        form = await form_of(request)
        upload = file_of(form, "file")
        if upload is None:
            raise ValueError("no image came along; send it in the field file")

        def work() -> ImageRow:
            with on_disk(upload, context.exports) as path:
                named = (
                    path if image in ("", "None") else path.rename(path.with_name(_named(image, path.name)))
                )
                return _added(desk, named)

        row = await run_sync(work)
        context.hub.broadcast(outgoing.project())
        return {"image": key_of(row)}

    @router.delete("/")
    @router.delete("/image")
    async def delete(request: Request, id: str) -> Any:
        row = image_of(store, id)
        async with context.committing:
            done = await run_sync(context.workflow.repair.delete, person(request), [row.id])
            context.workflow.imported(set(done.images))
        context.hub.broadcast(outgoing.project())
        return {"image": id, "message": done.message}


def _named(wanted: str, name: str) -> str:
    """The name that the tool asks for, with the file's ending."""
    kept = "".join(c if c.isalnum() or c in " ._-" else "_" for c in wanted)[:100].strip(" .") or "image"
    return f"{kept}{name[name.index('.') :]}" if "." in name else kept


def _added(desk: Desk, path: Path) -> ImageRow:
    """The image of a file, new or there already. Raises ValueError with what is wrong with the file."""
    from annotator.exchange.import_act import as_one_act  # the readers take a second to load
    from annotator.exchange.import_images import import_path
    from storage import formats

    workflow = desk.context.workflow
    with as_one_act(workflow.store, path.name):
        report = import_path(workflow.store, path, Job("import", lambda job: None))
    workflow.imported({*report.added, *report.labelled})
    if report.refused or not (report.added or report.known or report.copies):
        raise ValueError(
            report.refused[0] if report.refused else "this file holds no image that can be taken in"
        )
    sources = workflow.store.sources
    found = report.added or sources.with_pixels(formats.read(path).pixels_digest)
    return workflow.store.image(found[0])


def _packed(row: ImageRow) -> bytes:
    return packed_image(open_npy(row.path), subject_of(row).grid, QUICK)


def _stats(desk: Desk) -> dict[str, Any]:
    counts = desk.context.workflow.store.image_states.counts()
    done = counts["done"] + counts["work"]
    return {"total": sum(counts.values()), "completed": done, "label_tags": {"final": done}}


def _all(desk: Desk) -> dict[str, Any]:
    store = desk.context.workflow.store
    names = {"params": {"label_names": label_names(store.classes())}}
    notes = store.tool_notes.all()
    objects = {}
    for row, labelled, proposed in _rows(desk):
        kept = notes.get(row.id, {})
        tags = {tag: {**names, **note.info, "saved_by": note.author} for tag, note in kept.items() if tag}
        if labelled:
            tags.setdefault("final", names)
        if labelled or proposed:
            tags["original"] = names
        facts = {"name": f"{key_of(row)}{EXTENSION}", "image_name": row.name, "ts": row.created_at}
        said = kept[IMAGE].info if IMAGE in kept else {}
        objects[key_of(row)] = {
            "image": {"ext": EXTENSION, "info": {**said, **facts}},
            "labels": {tag: {"ext": EXTENSION, "info": info} for tag, info in tags.items()},
        }
    told = {"images_dir": ".", "labels_dir": "labels", "objects": objects}
    return {"name": store.root.name, "description": "A project of Slicewise", **told}


def _train(desk: Desk) -> list[dict[str, str]]:
    """What is labelled, by the addresses where it can be fetched."""
    return [
        {"image": f"image?image={key_of(row)}", "label": f"label?label={key_of(row)}&tag=final"}
        for row, labelled, _ in _rows(desk)
        if labelled
    ]


def _rows(desk: Desk) -> list[tuple[ImageRow, bool, bool]]:
    """Every image, whether people labelled it, and whether anything is proposed for it."""
    store = desk.context.workflow.store
    rows = store.images(limit=-1)[1]
    found = []
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        ids = [row.id for row in part]
        counts, proposed = store.slice_counts(ids), store.predictions.newest_of(ids)
        found += [(row, counts.get(row.id, (0, 0, 0))[0] > 0, row.id in proposed) for row in part]
    return found
