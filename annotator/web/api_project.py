"""The HTTP side of docs/protocol.md. A handler is one call to the workflow, in a thread."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, WebSocket
from fastapi import Path as InPath
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from annotator.access.sessions import Sessions, user_of
from annotator.exchange.writers import check_formats
from annotator.jobs import Job, Jobs
from annotator.prompting.auto_download import stopped
from annotator.protocol.incoming import MAX_ID, MAX_INDEX
from annotator.web import compression as slabs
from annotator.web.uploads import UploadBatch, Uploads
from annotator.web.websocket import Floor, serve_tab
from annotator.workflow import Workflow
from storage.arrays import SliceRef
from storage.image_states import ImageQuery, Trait

log = logging.getLogger(__name__)

READERS = 4  # slabs read and compressed at once
MAX_SLAB_BYTES = 256 << 20
KEPT_EXPORTS = 5

ImageId = Annotated[int, InPath(ge=1, le=MAX_ID)]
Edge = Annotated[int, Query(ge=0, le=MAX_INDEX)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
JobId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
Result = TypeVar("Result")


@dataclass
class Parts:
    """What the routes work with, one of each for a server."""

    floor: Floor
    sessions: Sessions
    uploads: Uploads
    exports: Path  # finished exports wait here to be fetched
    deflated: slabs.CompressedCache = field(default_factory=slabs.CompressedCache)
    reading: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(READERS))

    @property
    def workflow(self) -> Workflow:
        return self.floor.workflow

    @property
    def jobs(self) -> Jobs:
        return self.floor.jobs

    def tell_project(self) -> None:
        self.floor.hub.broadcast({"t": "project"})


class RequestBody(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ClassBody(RequestBody):
    op: Literal["add", "rename", "recolor", "remove"]
    id: Annotated[int, Field(ge=1, le=253)] | None = None
    name: Name | None = None
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


class ModelBody(RequestBody):
    name: Name


class MarkBody(RequestBody):
    mark: Trait
    on: bool


class ExportBody(RequestBody):
    formats: Annotated[list[Name], Field(max_length=100), AfterValidator(check_formats)]
    ignore: Annotated[int, Field(ge=0, le=65535)] | None = None
    images: Annotated[list[Annotated[int, Field(ge=1, le=MAX_ID)]], Field(max_length=100_000)] | None = None


def make_router(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/api")
    _add_facts(router, parts)
    _add_pixels(router, parts)
    _add_changes(router, parts)
    _add_uploads(router, parts)
    _add_jobs(router, parts)

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        cookies = socket.headers.get("cookie", "")
        await serve_tab(socket, parts.floor, person(socket), lambda: parts.sessions.read(cookies) is not None)

    return router


def _add_facts(router: APIRouter, parts: Parts) -> None:
    workflow = parts.workflow

    @router.get("/project")
    async def project(request: Request) -> Any:
        facts = {"id": parts.sessions.project_id, "sign_in": not parts.sessions.lets_local_in}
        return {**facts, **await run_sync(workflow.project, person(request))}

    @router.get("/images")
    async def images(
        offset: Annotated[int, Query(ge=0, le=MAX_INDEX)] = 0,
        limit: Annotated[int, Query(ge=0, le=1000)] = 100,
        search: Annotated[str, Query(max_length=200)] = "",
        state: Annotated[str, Query(max_length=20)] = "",
        sort: Annotated[str, Query(max_length=20)] = "added",
        down: bool = False,
    ) -> Any:
        return await run_sync(workflow.images, offset, limit, ImageQuery(search, state, sort, down))

    @router.post("/images/{image_id}/mark")
    async def mark(request: Request, image_id: ImageId, body: MarkBody) -> Any:
        told = await run_sync(workflow.mark, person(request), image_id, body.mark, body.on)
        parts.floor.hub.broadcast(told)
        return {}

    @router.get("/images/{image_id}")
    async def image(image_id: ImageId) -> Any:
        return await run_sync(workflow.image, image_id)

    @router.get("/history")
    async def history(request: Request) -> Any:
        return await run_sync(workflow.history, person(request))


def _add_pixels(router: APIRouter, parts: Parts) -> None:
    workflow = parts.workflow

    @router.get("/images/{image_id}/pixels")
    async def pixels(request: Request, image_id: ImageId, z0: Edge, z1: Edge) -> Response:
        await run_sync(_check_size, workflow, image_id, z1 - z0)
        wanted = PixelRequest(f"{image_id}-{z0}-{z1}", lambda: workflow.pixels(image_id, z0, z1))
        return await _send_pixels(parts, request, wanted)

    @router.get("/images/{image_id}/slice/{axis}/{index}")
    async def one_slice(
        request: Request,
        image_id: ImageId,
        axis: Annotated[int, InPath(ge=0, le=2)],
        index: Annotated[int, InPath(ge=0, le=MAX_INDEX)],
    ) -> Response:
        ref = SliceRef(image_id, axis, index)
        wanted = PixelRequest(f"{image_id}-s{axis}-{index}", lambda: workflow.slice(ref))
        return await _send_pixels(parts, request, wanted)

    @router.get("/images/{image_id}/labels")
    async def labels(request: Request, image_id: ImageId, z0: Edge, z1: Edge) -> Response:
        return await _send_labels(parts, request, lambda: workflow.labels(image_id, z0, z1))

    @router.get("/images/{image_id}/instances")
    async def instances(request: Request, image_id: ImageId, z0: Edge, z1: Edge) -> Response:
        return await _send_labels(parts, request, lambda: workflow.instances(image_id, z0, z1))


@dataclass(frozen=True)
class PixelRequest:
    """Pixels that somebody asks for: their name within the project, and how to read them."""

    name: str
    read: Callable[[], NDArray]


async def _send_pixels(parts: Parts, request: Request, wanted: PixelRequest) -> Response:
    project = parts.sessions.project_id
    # Another project may come to this address tomorrow: only an address that names the project never changes.
    fixed = request.query_params.get("project") == project
    cache = "private, max-age=31536000, immutable" if fixed else "private, no-cache"
    headers = {"etag": f'"{project}-{wanted.name}"', "cache-control": cache}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = await run_sync(parts.deflated.get, wanted.name, wanted.read, limiter=parts.reading)
    return slabs.compressed_response(request, content, headers)


async def _send_labels(parts: Parts, request: Request, read: Callable[[], tuple[NDArray, int]]) -> Response:
    def deflated() -> tuple[bytes | NDArray, int]:
        array, revision = read()
        return slabs.deflate(array), revision

    content, revision = await run_sync(deflated, limiter=parts.reading)
    return slabs.compressed_response(
        request, content, {"x-revision": str(revision), "cache-control": "no-store"}
    )


def _add_changes(router: APIRouter, parts: Parts) -> None:
    workflow = parts.workflow

    @router.post("/classes")
    async def classes(change: ClassBody) -> Any:
        wanted = {"add": ["name"], "rename": ["id", "name"], "recolor": ["id", "color"], "remove": ["id"]}[
            change.op
        ]
        if missing := [name for name in wanted if getattr(change, name) is None]:
            raise ValueError(f"to {change.op} a class say its {' and its '.join(missing)}")
        answer = await run_sync(workflow.edit_classes, change.model_dump(exclude_none=True))
        parts.tell_project()
        return answer

    @router.post("/model")
    async def model(choice: ModelBody) -> Any:
        await run_sync(workflow.choose_model, choice.name)
        parts.floor.hub.broadcast(workflow.answering())
        parts.tell_project()
        return {}

    @router.post("/model/{name}/download")
    async def download(name: Annotated[str, InPath(max_length=200)]) -> Any:
        if name not in [entry["name"] for entry in workflow.prompting.models()]:
            raise LookupError(f"there is no prompt model {name!r}; reload the page")

        def work(job: Job) -> None:
            workflow.download_model(name, job)

        return {"job": parts.jobs.start("download", work, model=name).id}


def _add_uploads(router: APIRouter, parts: Parts) -> None:
    uploads = parts.uploads
    BatchId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]

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
            return {"job": parts.jobs.start("import", lambda job: _import(parts, taken, job)).id}
        except BaseException:
            uploads.give_back(taken)
            raise


def _add_jobs(router: APIRouter, parts: Parts) -> None:
    @router.post("/jobs/{job_id}/cancel")
    async def cancel(job_id: JobId) -> Any:
        job = parts.jobs.get(job_id)
        job.cancel()
        await run_sync(stopped, job)
        return {}

    @router.post("/export")
    async def start_export(body: ExportBody) -> Any:
        return {"job": parts.jobs.start("export", lambda job: _export(parts, body, job)).id}

    @router.get("/export/{job_id}")
    async def fetch(job_id: JobId) -> Response:
        job = parts.jobs.get(job_id)
        path = parts.exports / f"{job.id}.zip"
        if job.kind != "export" or job.url is None or not path.is_file():
            raise LookupError("this export is not there any more; export again")
        return FileResponse(
            path, filename=f"{parts.workflow.store.root.name}-labels.zip", media_type="application/zip"
        )


def _import(parts: Parts, batch: UploadBatch, job: Job) -> None:
    """Read what was uploaded, then let go of it, whatever happened."""
    try:
        run_import(parts.floor, batch.files, job)
    finally:
        parts.uploads.discard(batch)


def run_import(floor: Floor, path: Path, job: Job, labels: Path | None = None) -> None:
    """Import a file or folder into the open project; the lines it refused are the job's."""
    from annotator.exchange.import_images import import_path  # the readers take a second to load

    report = import_path(floor.workflow.store, path, job, labels=labels)
    floor.workflow.imported({*report.added, *report.labelled})
    floor.hub.reconnect(frozenset(report.labelled))


def _export(parts: Parts, body: ExportBody, job: Job) -> str:
    from annotator.exchange.export_labels import ExportRequest, export  # as above

    images = None if body.images is None else tuple(body.images)
    request = ExportRequest(tuple(body.formats), body.ignore, images)
    for old in sorted(parts.exports.glob("*.zip"), key=lambda p: p.stat().st_mtime)[: -KEPT_EXPORTS + 1]:
        old.unlink(missing_ok=True)
    export(parts.workflow.store, parts.exports / f"{job.id}.zip", request, job)
    return f"/api/export/{job.id}"


def empty_folder(folder: Path) -> Path:
    """A folder with nothing left in it from before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_size(workflow: Workflow, image_id: int, slices: int) -> None:
    """One slice always; of several no more than a browser can swallow at once."""
    image = workflow.store.image(image_id)
    each = image.shape[1] * image.shape[2] * image.channels * 4
    if slices > 1 and slices * each > MAX_SLAB_BYTES:
        raise ValueError(
            f"{slices} slices of this image are too much at once; ask for {MAX_SLAB_BYTES // each or 1}"
        )


def person(connection: Request | WebSocket) -> str:
    """Who asks; the guard lets nobody else through."""
    user = user_of(connection)
    if user is None:
        raise PermissionError("the guard let a stranger through")
    return user
