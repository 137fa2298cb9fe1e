"""Work that takes a while over HTTP: uploads and their import, exports, cancel. A handler starts one job."""

from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import AfterValidator, Field
from starlette.responses import FileResponse, Response

from annotator.exchange.import_act import as_one_act
from annotator.exchange.writers import check_formats
from annotator.jobs import Job
from annotator.prompting.auto_download import stopped
from annotator.protocol.incoming import ImageId
from annotator.web.bodies import BatchId, JobId, Name, RequestBody
from annotator.web.context import AppContext, person
from annotator.web.uploads import UploadBatch

KEPT_EXPORTS = 5


class ExportBody(RequestBody):
    formats: Annotated[list[Name], Field(max_length=100), AfterValidator(check_formats)]
    ignore: Annotated[int, Field(ge=0, le=65535)] | None = None
    images: Annotated[list[ImageId], Field(max_length=100_000)] | None = None


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter(prefix="/api")
    _add_uploads(router, context)
    _add_jobs(router, context)
    return router


def _add_uploads(router: APIRouter, context: AppContext) -> None:
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
    async def finish(request: Request, batch: BatchId) -> Any:
        taken = uploads.take(batch, person(request))
        try:
            return {"job": context.jobs.start("import", lambda job: _import(context, taken, job)).id}
        except BaseException:
            uploads.give_back(taken)
            raise


def _add_jobs(router: APIRouter, context: AppContext) -> None:
    @router.post("/jobs/{job_id}/cancel")
    async def cancel(job_id: JobId) -> Any:
        job = context.jobs.get(job_id)
        job.cancel()
        await run_sync(stopped, job)
        return {}

    @router.post("/export")
    async def start_export(body: ExportBody) -> Any:
        return {"job": context.jobs.start("export", lambda job: _export(context, body, job)).id}

    @router.get("/export/{job_id}")
    async def fetch(job_id: JobId) -> Response:
        job = context.jobs.get(job_id)
        path = context.exports / f"{job.id}.zip"
        if job.kind != "export" or job.url is None or not path.is_file():
            raise LookupError("this export is not there any more; export again")
        return FileResponse(
            path, filename=f"{context.workflow.store.root.name}-labels.zip", media_type="application/zip"
        )


def _import(context: AppContext, batch: UploadBatch, job: Job) -> None:
    """Read what was uploaded, then let go of it, whatever happened."""
    try:
        run_import(context, batch.files, job)
    finally:
        context.uploads.discard(batch)


def run_import(context: AppContext, path: Path, job: Job, labels: Path | None = None) -> None:
    """Import a file or folder into the open project; the lines it refused are the job's."""
    from annotator.exchange.import_images import import_path  # the readers take a second to load

    with as_one_act(context.workflow.store, _shown(path)):
        report = import_path(context.workflow.store, path, job, labels=labels)
    context.workflow.imported({*report.added, *report.labelled})
    context.hub.reconnect(frozenset(report.labelled))


def _shown(path: Path) -> str:
    """What was uploaded as people know it: the only folder or file there is, else how many there are."""
    there = sorted(path.iterdir()) if path.is_dir() else [path]
    return there[0].name if len(there) == 1 else f"{len(there):,} files"


def _export(context: AppContext, body: ExportBody, job: Job) -> str:
    from annotator.exchange.export_labels import ExportRequest, export  # as above

    images = None if body.images is None else tuple(body.images)
    request = ExportRequest(tuple(body.formats), body.ignore, images)
    for old in sorted(context.exports.glob("*.zip"), key=lambda p: p.stat().st_mtime)[: -KEPT_EXPORTS + 1]:
        old.unlink(missing_ok=True)
    export(context.workflow.store, context.exports / f"{job.id}.zip", request, job)
    return f"/api/export/{job.id}"
