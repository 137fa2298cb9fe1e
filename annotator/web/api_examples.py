"""Pictures to try the app with, and the five steps of the demo, over HTTP; see docs/protocol.md."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter

from annotator.jobs import Job
from annotator.protocol import outgoing
from annotator.web.bodies import Name
from annotator.web.context import AppContext


def make_router(context: AppContext) -> APIRouter:
    router = APIRouter(prefix="/api")
    workflow = context.workflow

    @router.get("/steps")
    async def steps() -> Any:
        # what makes pictures takes a second to load
        from annotator.exchange.examples.five_steps import five_steps

        return await run_sync(five_steps, workflow.store)

    @router.post("/examples/{name}")
    async def add(name: Name) -> Any:
        from annotator.exchange.examples import example_set, fill_example  # as above

        example_set(name)

        def work(job: Job) -> None:
            workflow.imported(fill_example(workflow.store, name, job))
            context.hub.post(outgoing.project())

        return {"job": context.jobs.start("import", work).id}

    return router
