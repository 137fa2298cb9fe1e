"""Trained models in and out over HTTP; see docs/protocol.md, section Learning. A handler starts one job."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from annotator.jobs import Job
from annotator.learning.model_export import export_bundle, export_model
from annotator.learning.model_import import import_model, model_folder
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import EXPORTED
from annotator.protocol import outgoing
from annotator.web.api_learning import Learner
from annotator.web.bodies import BatchId, JobId, RequestBody
from annotator.web.context import AppContext, person
from annotator.web.uploads import UploadBatch

OUT, IN = "model-export", "model-import"  # kinds of jobs
KEPT = 3  # finished exports that can still be fetched


class ModelExportBody(RequestBody):
    bundle: bool = False  # for MONAI


class UploadedModelBody(RequestBody):
    batch: BatchId


def make_router(context: AppContext, scheduler: Scheduler) -> APIRouter:
    router = APIRouter(prefix="/api/models")

    @router.post("/{learner}/export")
    async def take_out(request: Request, learner: Learner, body: ModelExportBody | None = None) -> Any:
        work = Out(context, scheduler, learner, bundle=body is not None and body.bundle)
        return {"job": context.jobs.start(OUT, work, by=person(request), learner=learner).id}

    @router.get("/export/{job_id}")
    async def fetch(job_id: JobId) -> Response:
        job = context.jobs.get(job_id)
        path = _zip_of(context, job)
        if job.kind != OUT or job.url is None or not path.is_file():
            raise LookupError("this model is not there any more; export it again")
        with zipfile.ZipFile(path) as archive:  # called as the folder in it
            name = archive.namelist()[0].partition("/")[0]
        return FileResponse(path, filename=f"{name}.zip", media_type="application/zip")

    @router.post("/{learner}/import")
    async def take_in(request: Request, learner: Learner, body: UploadedModelBody) -> Any:
        batch = context.uploads.take(body.batch, person(request))
        try:
            job = context.jobs.start(
                IN,
                lambda job: _take_in(context, scheduler, learner, batch, job),
                by=person(request),
                learner=learner,
            )
        except BaseException:
            context.uploads.give_back(batch)
            raise
        return {"job": job.id}

    return router


class Out:
    """The job that writes a model and zips its folder; the address to fetch it from."""

    def __init__(self, context: AppContext, scheduler: Scheduler, learner: str, *, bundle: bool) -> None:
        self._context, self._scheduler = context, scheduler
        self._learner, self._bundle = learner, bundle

    def __call__(self, job: Job) -> str:
        context, rounds = self._context, self._scheduler.rounds
        _folder(context).mkdir(exist_ok=True)
        old = sorted(_folder(context).glob("*.zip"), key=lambda path: path.stat().st_mtime)
        for path in old[: -KEPT + 1]:
            path.unlink(missing_ok=True)

        def tell(phase: str) -> None:
            job.check()
            job.report(phase, 0, 0)

        with tempfile.TemporaryDirectory(dir=_folder(context)) as place:
            store = context.workflow.store
            stem = f"{store.root.name}-{self._learner}"
            folder = Path(place) / (f"{stem}-monai" if self._bundle else stem)
            if self._bundle:
                done = export_bundle(store, self._learner, folder, tell)
            else:
                done = export_model(store, rounds, self._learner, folder, tell)
            tell("packing")
            _pack(folder, _zip_of(context, job))
        without = "" if done.onnx_difference is not None else "; without ONNX, its card says why"
        context.workflow.store.set_setting(EXPORTED, self._learner)
        what = "MONAI bundle" if self._bundle else "model"
        job.report("packing", 1, 1, f"The {what} of {self._learner} is ready{without}.")
        return f"/api/models/export/{job.id}"


def _pack(folder: Path, target: Path) -> None:
    """Weights do not shrink, so they are stored as they are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")


def _take_in(context: AppContext, scheduler: Scheduler, learner: str, batch: UploadBatch, job: Job) -> None:
    """Read what was uploaded, then let go of it, whatever happened."""
    try:
        job.report("reading the model", 0, 0)
        folder = model_folder(batch.files, batch.folder / "model")
        row = import_model(context.workflow.store, scheduler.rounds, learner, folder)
        job.report(
            "reading the model",
            1,
            1,
            f"Taken in as round {row.id} of {learner}; it proposes labels now, and the next round starts from it.",
        )
    finally:
        context.uploads.discard(batch)
    context.hub.post(outgoing.project())  # its classes may be new
    scheduler.propose(learner)


def _zip_of(context: AppContext, job: Job) -> Path:
    return _folder(context) / f"{job.id}.zip"


def _folder(context: AppContext) -> Path:
    """Apart from the exports of labels, which are counted on their own."""
    return context.exports / "models"
