"""Work that takes a while over HTTP: exports, backups, and the end of any job. A handler starts one job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import AfterValidator, Field
from starlette.responses import FileResponse, Response

from annotator.backups.backup import back_up
from annotator.exchange.writers import check_formats
from annotator.jobs import Job
from annotator.prompting.auto_download import stopped
from annotator.protocol.incoming import ImageId
from annotator.web.bodies import BatchId, JobId, Name, RequestBody
from annotator.web.context import AppContext, administers, check_may_end, empty_folder, person
from annotator.web.errors import AdministratorsOnly
from annotator.web.uploads import UploadBatch

if TYPE_CHECKING:
    from annotator.exchange.export_labels import ExportRequest

KEPT_EXPORTS = 5
NOT_YOURS = "backups are for administrators, so ask one for it; your own labels you can export"


class ExportBody(RequestBody):
    formats: Annotated[list[Name], Field(max_length=100), AfterValidator(check_formats)]
    ignore: Annotated[int, Field(ge=0, le=65535)] | None = None
    images: Annotated[list[ImageId], Field(max_length=100_000)] | None = None
    originals: BatchId | Literal[""] | None = None  # an upload of DICOM files; "": export without any


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter(prefix="/api")
    _add_jobs(router, context)
    _add_backups(router, context)
    return router


def _add_jobs(router: APIRouter, context: AppContext) -> None:
    @router.get("/jobs/{job_id}")
    async def job(job_id: JobId) -> Any:
        return context.jobs.get(job_id).as_message()

    @router.post("/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: JobId) -> Any:
        job = context.jobs.get(job_id)
        await check_may_end(context, request, job.kind.replace("-", " "), job.by)
        job.cancel()
        await run_sync(stopped, job)
        return {}

    @router.post("/export")
    async def start_export(request: Request, body: ExportBody) -> Any:
        by = person(request)
        if body.originals is None and (needs := await run_sync(_needs_series, context, body)):
            return {"needs": needs}
        files = context.uploads.take(body.originals, by) if body.originals else None
        try:
            job = context.jobs.start("export", lambda job: _export(context, body, files, job), by=by)
            return {"job": job.id}
        except BaseException:
            if files is not None:
                context.uploads.give_back(files)
            raise

    @router.get("/export/{job_id}")
    async def fetch(job_id: JobId) -> Response:
        job = context.jobs.get(job_id)
        path = context.exports / f"{job.id}.zip"
        if job.kind != "export" or job.url is None or not path.is_file():
            raise LookupError("this export is not there any more; export again")
        return FileResponse(
            path, filename=f"{context.workflow.store.root.name}-labels.zip", media_type="application/zip"
        )


def _add_backups(router: APIRouter, context: AppContext) -> None:
    @router.post("/backup")
    async def start_backup(request: Request) -> Any:
        await run_sync(_need_administrator, context, request)
        by = person(request)
        return {"job": context.jobs.start("backup", lambda job: _back_up(context, job), by=by).id}

    @router.get("/backup/{job_id}")
    async def fetch_backup(request: Request, job_id: JobId) -> Response:
        await run_sync(_need_administrator, context, request)
        job = context.jobs.get(job_id)
        path = _backups(context) / f"{job.id}.zip"
        if job.kind != "backup" or job.url is None or not path.is_file():
            raise LookupError("this backup is not there any more; back up again")
        name = f"{context.workflow.store.root.name}-backup.zip"
        return FileResponse(path, filename=name, media_type="application/zip")


def _need_administrator(context: AppContext, request: Request) -> None:
    """An archive holds all there is, also what was deleted. Raises AdministratorsOnly."""
    if not administers(context, request):
        raise AdministratorsOnly(NOT_YOURS)


def _back_up(context: AppContext, job: Job) -> str:
    """One archive waits to be fetched: it is as large as the project."""
    folder = empty_folder(_backups(context))
    files = back_up(context.workflow.store.root, folder / f"{job.id}.zip", job).files
    size = sum(size for size, _ in files.values()) / 1e6
    job.report("backing up", len(files), len(files), f"{len(files):,} files, {size:,.1f} MB")
    return f"/api/backup/{job.id}"


def _backups(context: AppContext) -> Path:
    return context.exports / "backups"


def _needs_series(context: AppContext, body: ExportBody) -> list[str]:
    """Titles of formats for which the page has to send the DICOM files of images first."""
    from annotator.exchange.export_labels import of_series  # as above

    return of_series(context.workflow.store, _request(body, None))


def _request(body: ExportBody, files: UploadBatch | None) -> "ExportRequest":
    from annotator.exchange.export_labels import ExportRequest  # as above

    images = None if body.images is None else tuple(body.images)
    return ExportRequest(tuple(body.formats), body.ignore, images, files.files if files else None)


def _export(context: AppContext, body: ExportBody, files: UploadBatch | None, job: Job) -> str:
    """Whatever happens, the files that were sent for it are gone afterwards."""
    try:
        return _exported(context, _request(body, files), job)
    finally:
        if files is not None:
            context.uploads.discard(files)


def _exported(context: AppContext, request: "ExportRequest", job: Job) -> str:
    from annotator.exchange.export_labels import export  # as above

    for old in sorted(context.exports.glob("*.zip"), key=lambda p: p.stat().st_mtime)[: -KEPT_EXPORTS + 1]:
        old.unlink(missing_ok=True)
    export(context.workflow.store, context.exports / f"{job.id}.zip", request, job)
    return f"/api/export/{job.id}"
