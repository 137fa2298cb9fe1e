"""The project, its images, classes and prompt models over HTTP; see docs/protocol.md. A handler is one call to the
workflow, in a thread."""

from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import Field

from annotator.jobs import Job
from annotator.protocol import outgoing
from annotator.protocol.incoming import ClientId, ImageId, Index, Number
from annotator.web.bodies import ClassId, Name, RequestBody, Search
from annotator.web.context import AppContext, administers, person
from storage.channels.named import ChannelLook
from storage.image_states import ImageQuery, Trait

NEEDED = {
    "add": ["name"],
    "rename": ["id", "name"],
    "recolor": ["id", "color"],
    "code": ["id", "code"],
    "objects": ["id", "objects"],
    "remove": ["id"],
    "merge": ["id", "into"],
    "delete": ["id"],
}


class ClassBody(RequestBody):
    op: Literal["add", "rename", "recolor", "code", "objects", "remove", "merge", "delete"]
    id: ClassId | None = None
    into: ClassId | None = None
    key: ClientId | None = None  # of this change: sent again, it gets the same answer
    name: Name | None = None
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None
    code: Annotated[str, Field(max_length=120)] | None = None  # "" takes it away
    objects: bool | None = None  # of a new class false


class ModelBody(RequestBody):
    name: Name


class ChannelBody(RequestBody):
    name: Name
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
    low: Number
    high: Number
    gamma: Annotated[float, Field(ge=0.1, le=10, allow_inf_nan=False)]
    shown: bool


class MarkBody(RequestBody):
    mark: Trait
    on: bool


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter(prefix="/api")
    _add_facts(router, context)
    _add_changes(router, context)
    _add_examples(router, context)
    return router


def _add_facts(router: APIRouter, context: AppContext) -> None:
    workflow = context.workflow

    @router.get("/project")
    async def project(request: Request) -> Any:
        facts = {"id": context.sessions.project_id, "sign_in": not context.sessions.lets_local_in}
        facts["administrator"] = await run_sync(administers, context, request)
        return {**facts, **await run_sync(workflow.project, person(request))}

    @router.get("/images")
    async def images(
        offset: Index = 0,
        limit: Annotated[int, Query(ge=0, le=1000)] = 100,
        search: Search = "",
        state: Annotated[str, Query(max_length=20)] = "",
        sort: Annotated[str, Query(max_length=20)] = "added",
        down: bool = False,
    ) -> Any:
        return await run_sync(workflow.images, offset, limit, ImageQuery(search, state, sort, down))

    @router.get("/progress")
    async def progress() -> Any:
        return await run_sync(workflow.progress.counts)

    @router.post("/images/{image_id}/mark")
    async def mark(request: Request, image_id: ImageId, body: MarkBody) -> Any:
        told = await run_sync(workflow.mark, person(request), image_id, body.mark, body.on)
        context.hub.broadcast(told)
        return {}

    @router.get("/images/{image_id}")
    async def image(image_id: ImageId) -> Any:
        return await run_sync(workflow.image, image_id)

    @router.get("/history")
    async def history(request: Request) -> Any:
        return await run_sync(workflow.history, person(request))


def _add_changes(router: APIRouter, context: AppContext) -> None:
    workflow = context.workflow

    @router.post("/classes")
    async def classes(request: Request, change: ClassBody) -> Any:
        if missing := [name for name in NEEDED[change.op] if getattr(change, name) is None]:
            raise ValueError(f"to {change.op} a class say its {' and its '.join(missing)}")
        wanted = change.model_dump(exclude_none=True)
        async with context.committing:
            edited = await run_sync(workflow.edit_classes, person(request), wanted)
        context.hub.broadcast(outgoing.project())
        context.hub.reconnect(edited.images)
        return edited.classes

    @router.post("/channels")
    async def channels(body: ChannelBody) -> Any:
        look = ChannelLook(body.color, (body.low, body.high), body.gamma, body.shown)
        await run_sync(workflow.keep_look, body.name, look)
        return {}

    @router.post("/model")
    async def model(choice: ModelBody) -> Any:
        await run_sync(workflow.choose_model, choice.name)
        context.hub.broadcast(workflow.answering())
        context.hub.broadcast(outgoing.project())
        return {}

    @router.post("/model/{name}/download")
    async def download(request: Request, name: Annotated[str, InPath(max_length=200)]) -> Any:
        if name not in [entry["name"] for entry in workflow.prompting.models()]:
            raise LookupError(f"there is no prompt model {name!r}; reload the page")

        def work(job: Job) -> None:
            workflow.download_model(name, job)

        return {"job": context.jobs.start("download", work, by=person(request), model=name).id}


def _add_examples(router: APIRouter, context: AppContext) -> None:
    """Pictures to try the app with, and the five steps of the demo; what makes them takes a second to load."""
    workflow = context.workflow

    @router.get("/steps")
    async def steps() -> Any:
        from annotator.exchange.examples.five_steps import five_steps

        return await run_sync(five_steps, workflow.store)

    @router.post("/examples/{name}")
    async def add(request: Request, name: Name) -> Any:
        from annotator.exchange.examples import example_set, fill_example

        example_set(name)

        def work(job: Job) -> None:
            workflow.imported(fill_example(workflow.store, name, job))
            context.hub.post(outgoing.project())

        return {"job": context.jobs.start("import", work, by=person(request)).id}
