"""Uploads over HTTP: files in, a look at what they would become, and their import as a person decided."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import Field

from annotator.exchange.import_act import as_one_act
from annotator.jobs import Job
from annotator.web.bodies import BatchId, RequestBody
from annotator.web.context import AppContext, person
from annotator.web.hub import ChangedImages
from annotator.web.uploads import UploadBatch
from storage.formats.base import COLOUR

if TYPE_CHECKING:
    from annotator.exchange.import_images import ImportReport
    from annotator.exchange.masks.meaning import Meaning, ValueChoices

ClassName = Annotated[str, Field(max_length=80)]
Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
MaskValue = Annotated[int, Field(ge=0, lt=2 * COLOUR)]


class MeaningBody(RequestBody):
    kind: Literal["class", "void", "background"]
    name: ClassName = ""
    color: Color | None = None


class ChosenValue(MeaningBody):
    value: MaskValue


class ChosenMasks(RequestBody):
    family: Annotated[int, Field(ge=0, le=10_000)]  # its place in the look
    objects: bool
    object_class: MeaningBody
    values: Annotated[list[ChosenValue], Field(max_length=1000)]


class ImportBody(RequestBody):
    masks: Annotated[list[ChosenMasks], Field(max_length=1000)] = []
    copies: Literal["", "same", "both"] = ""
    take_headers: bool = False


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter(prefix="/api")
    _add_files(router, context)
    _add_looks(router, context)
    return router


def _add_files(router: APIRouter, context: AppContext) -> None:
    uploads = context.uploads

    @router.post("/upload/begin")
    async def begin(request: Request) -> Any:
        return {"batch": await run_sync(uploads.begin, person(request))}

    @router.put("/upload/{batch}/{number}")
    async def put(
        request: Request,
        batch: BatchId,
        number: Annotated[int, InPath(ge=0, le=999_999)],
        name: Annotated[str, Query(min_length=1, max_length=4096)],
    ) -> Any:
        size = await uploads.put(uploads.of(batch, person(request)), number, name, request.stream())
        return {"bytes": size}

    @router.post("/upload/{batch}/finish")
    async def finish(request: Request, batch: BatchId, body: ImportBody | None = None) -> Any:
        by = person(request)
        taken, body = uploads.take(batch, by), body or ImportBody()
        try:
            job = context.jobs.start("import", lambda job: _import(context, taken, body, job), by=by)
            return {"job": job.id}
        except BaseException:
            uploads.give_back(taken)
            raise

    @router.post("/upload/{batch}/discard")
    async def discard(request: Request, batch: BatchId) -> Any:
        taken = uploads.take(batch, person(request))
        await run_sync(uploads.discard, taken)
        return {}


def _add_looks(router: APIRouter, context: AppContext) -> None:
    uploads = context.uploads

    @router.post("/upload/{batch}/look")
    async def look(request: Request, batch: BatchId) -> Any:
        by = person(request)
        files = uploads.of(batch, by)
        if not files.paths:
            raise ValueError("no file has arrived yet; choose some files first")
        return {"job": context.jobs.start("look", lambda job: _look(context, files, job), by=by).id}

    @router.get("/upload/{batch}/look")
    async def seen(request: Request, batch: BatchId) -> Any:
        return uploads.of(batch, person(request)).seen.look.as_json()

    @router.get("/upload/{batch}/look/images")
    async def images(
        request: Request,
        batch: BatchId,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=0, le=500)] = 100,
    ) -> Any:
        seen = uploads.of(batch, person(request)).seen.look.images
        return {"total": len(seen), "items": seen[offset : offset + limit]}


def run_import(context: AppContext, path: Path, job: Job, labels: Path | None = None) -> None:
    """Import a file or folder into the open project; the lines it refused are the job's."""
    from annotator.exchange.import_images import import_path  # the readers take a second to load

    store = context.workflow.store
    with as_one_act(store, _shown(path)):
        report = import_path(store, path, job, labels=labels)
    _imported(context, report)


def _look(context: AppContext, batch: UploadBatch, job: Job) -> None:
    from annotator.exchange.import_look import StagedImport, look_at  # as above
    from annotator.exchange.import_plan import ImportRequest, facts_of, plan_import

    facts = facts_of(context.workflow.store, images=True)
    plan = plan_import(facts, ImportRequest(batch.files.resolve()), job)
    batch.staged = StagedImport(plan, look_at(plan, facts))


def _import(context: AppContext, batch: UploadBatch, body: ImportBody, job: Job) -> None:
    """Read what was uploaded, then let go of it, whatever happened."""
    try:
        if batch.staged is None:
            run_import(context, batch.files, job)
        else:
            _imported(context, _as_decided(context, batch, body, job))
    finally:
        context.uploads.discard(batch)


def _as_decided(context: AppContext, batch: UploadBatch, body: ImportBody, job: Job) -> "ImportReport":
    """Import what was looked at, with what the person decided about it."""
    from annotator.exchange.import_images import carry_out
    from annotator.exchange.import_plan import decide_values, facts_of

    store, plan = context.workflow.store, batch.seen.plan
    choices = {chosen.family: _choices(chosen) for chosen in body.masks}
    request = replace(plan.request, families=choices, copies=body.copies, take_headers=body.take_headers)
    decide_values(plan, request, facts_of(store))
    plan.sight.move_to(job)
    with as_one_act(store, _shown(batch.files)):
        return carry_out(store, plan)


def _choices(chosen: ChosenMasks) -> "ValueChoices":
    from annotator.exchange.masks.meaning import ValueChoices

    values: Mapping[int, Meaning] = {one.value: _meaning(one) for one in chosen.values}
    return ValueChoices(chosen.objects, values, _meaning(chosen.object_class))


def _meaning(body: MeaningBody) -> "Meaning":
    """Raises ValueError for a class without a name."""
    from annotator.exchange.masks.meaning import Meaning
    from annotator.exchange.masks.value_names import clean_name

    if body.kind != "class":
        return Meaning(body.kind)
    if not (name := clean_name(body.name)):
        raise ValueError("a class needs a name; give it one, or choose unknown or background")
    return Meaning("class", name, body.color)


def _shown(path: Path) -> str:
    """What was uploaded as people know it: the only folder or file there is, else how many there are."""
    there = sorted(path.iterdir()) if path.is_dir() else [path]
    return there[0].name if len(there) == 1 else f"{len(there):,} files"


def _imported(context: AppContext, report: "ImportReport") -> None:
    context.workflow.imported({*report.added, *report.labelled})
    turned = report.turned
    images = frozenset([*report.changed, *turned, *turned.values()])
    context.hub.tell_images(ChangedImages(images, frozenset(turned), turned), "import")
    context.hub.reconnect(frozenset(report.labelled))
