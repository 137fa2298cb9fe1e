"""Trained models in and out over HTTP; see docs/protocol.md, section Learning. A handler starts one job."""

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import FileResponse, Response

from annotator.jobs import Job
from annotator.learning.model_export import export_model
from annotator.learning.model_import import import_model, model_folder
from annotator.learning.scheduler import Scheduler
from annotator.web.api_learning import Learner
from annotator.web.api_project import JobId, Parts, RequestBody, person
from annotator.web.uploads import UploadBatch

OUT, IN = "model-export", "model-import"  # kinds of jobs
KEPT = 3  # finished exports that can still be fetched


class Uploaded(RequestBody):
    batch: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


def make_router(parts: Parts, scheduler: Scheduler) -> APIRouter:
    router = APIRouter(prefix="/api/models")

    @router.post("/{learner}/export")
    async def take_out(learner: Learner) -> Any:
        work = Out(parts, scheduler, learner)
        return {"job": parts.jobs.start(OUT, work, learner=learner).id}

    @router.get("/export/{job_id}")
    async def fetch(job_id: JobId) -> Response:
        job = parts.jobs.get(job_id)
        path = _zip_of(parts, job)
        if job.kind != OUT or job.url is None or not path.is_file():
            raise LookupError("this model is not there any more; export it again")
        name = f"{_stem(parts, job.details['learner'])}.zip"
        return FileResponse(path, filename=name, media_type="application/zip")

    @router.post("/{learner}/import")
    async def take_in(request: Request, learner: Learner, wish: Uploaded) -> Any:
        batch = parts.uploads.take(wish.batch, person(request))
        try:
            job = parts.jobs.start(
                IN, lambda job: _take_in(parts, scheduler, learner, batch, job), learner=learner
            )
        except BaseException:
            parts.uploads.give_back(batch)
            raise
        return {"job": job.id}

    return router


class Out:
    """The job that writes a model and zips its folder; the address to fetch it from."""

    def __init__(self, parts: Parts, scheduler: Scheduler, learner: str) -> None:
        self._parts, self._scheduler, self._learner = parts, scheduler, learner

    def __call__(self, job: Job) -> str:
        parts, rounds = self._parts, self._scheduler.rounds
        _folder(parts).mkdir(exist_ok=True)
        old = sorted(_folder(parts).glob("*.zip"), key=lambda path: path.stat().st_mtime)
        for path in old[: -KEPT + 1]:
            path.unlink(missing_ok=True)

        def tell(phase: str) -> None:
            job.check()
            job.report(phase, 0, 0)

        with tempfile.TemporaryDirectory(dir=_folder(parts)) as place:
            folder = Path(place) / _stem(parts, self._learner)
            done = export_model(parts.workflow.store, rounds, self._learner, folder, tell)
            tell("packing")
            _pack(folder, _zip_of(parts, job))
        without = "" if done.onnx_difference is not None else "; without ONNX, its card says why"
        job.report("packing", 1, 1, f"The model of {self._learner} is ready{without}.")
        return f"/api/models/export/{job.id}"


def _pack(folder: Path, target: Path) -> None:
    """Weights do not shrink, so they are stored as they are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{folder.name}/{path.name}")


def _take_in(parts: Parts, scheduler: Scheduler, learner: str, batch: UploadBatch, job: Job) -> None:
    """Read what was uploaded, then let go of it, whatever happened."""
    try:
        job.report("reading the model", 0, 0)
        folder = model_folder(batch.files, batch.folder / "model")
        row = import_model(parts.workflow.store, scheduler.rounds, learner, folder)
        job.report(
            "reading the model",
            1,
            1,
            f"Taken in as round {row.id} of {learner}; it proposes labels now, and the next round starts from it.",
        )
    finally:
        parts.uploads.discard(batch)
    parts.floor.hub.post({"t": "project"})  # its classes may be new
    scheduler.propose(learner)


def _zip_of(parts: Parts, job: Job) -> Path:
    return _folder(parts) / f"{job.id}.zip"


def _folder(parts: Parts) -> Path:
    """Apart from the exports of labels, which are counted on their own."""
    return parts.exports / "models"


def _stem(parts: Parts, learner: str) -> str:
    return f"{parts.workflow.store.root.name}-{learner}"
