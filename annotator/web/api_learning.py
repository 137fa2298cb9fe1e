"""Rounds, learners and the queue over HTTP; see docs/protocol.md, section Learning. A handler is one call."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import Field

from annotator.learning.final.model import FINAL, LONGEST
from annotator.learning.final.status import final_status
from annotator.learning.label_queue import CHOSEN, LabelQueue
from annotator.learning.quality.proposer import quality_words, short_title
from annotator.learning.scheduler import Scheduler
from annotator.protocol.incoming import Axis, ImageId, Index
from annotator.protocol.outgoing import Message
from annotator.web.bodies import RequestBody, Search, ShortName
from annotator.web.context import AppContext, check_may_end, person
from learners import LEARNERS
from learners.adapt import ADAPTERS
from learners.rankers import RANKERS
from learners.spec import MAX_FOLDS

Learner = Annotated[str, InPath(max_length=40, pattern=r"^[a-z_]+$")]


class LearnSettingsBody(RequestBody):
    """What is left out stays as it is. An empty list of learners lets the app choose."""

    learners: Annotated[list[ShortName], Field(max_length=2)] | None = None
    seconds: Annotated[float, Field(ge=1, le=86400)] | None = None
    settle_seconds: Annotated[float, Field(ge=0, le=604800)] | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    adapt: ShortName | None = None  # an adapter, "auto", or "" for none
    references: Annotated[list[ImageId], Field(max_length=64)] | None = None


class FinalBody(RequestBody):
    """What is left out is as it was asked for last."""

    seconds: Annotated[float, Field(ge=1, le=LONGEST)] | None = None
    folds: Annotated[int, Field(ge=1, le=MAX_FOLDS)] | None = None


class SkipBody(RequestBody):
    image: ImageId
    axis: Axis
    index: Index
    on: bool = True


class RankerBody(RequestBody):
    name: ShortName  # empty: the app chooses


def make_router(context: AppContext, scheduler: Scheduler) -> APIRouter:
    router, queue = APIRouter(prefix="/api"), LabelQueue(scheduler)
    _add_learning(router, context, scheduler)
    _add_final(router, context, scheduler)
    _add_queue(router, queue)
    return router


def _add_learning(router: APIRouter, context: AppContext, scheduler: Scheduler) -> None:
    @router.get("/learn")
    async def learning() -> Any:
        return await run_sync(overview, scheduler)

    @router.post("/learn/settings")
    async def settings(body: LearnSettingsBody) -> Any:
        changes: dict[str, Any] = body.model_dump(exclude_none=True)
        if "learners" in changes:
            changes["learners"] = tuple(dict.fromkeys(changes["learners"]))
        if "references" in changes:
            changes["references"] = tuple(dict.fromkeys(changes["references"]))
        await run_sync(lambda: scheduler.change(**changes))
        return await run_sync(overview, scheduler)

    @router.post("/learn/{learner}/{act}")
    async def act(
        request: Request, learner: Learner, act: Literal["pause", "resume", "stop", "update"]
    ) -> Any:
        if learner == FINAL and act in ("pause", "stop"):
            await _check_final(context, request, scheduler)
        do = {
            "pause": scheduler.pause,
            "resume": scheduler.resume,
            "stop": scheduler.stop,
            "update": scheduler.update_now,
        }
        await run_sync(do[act], learner)
        return {}

    @router.get("/learn/{learner}/history")
    async def history(learner: Learner) -> Any:
        def read() -> Any:
            return {"rounds": scheduler.history(learner), "corrections": corrections(scheduler, learner)}

        return await run_sync(read)


def _add_final(router: APIRouter, context: AppContext, scheduler: Scheduler) -> None:
    @router.post("/final")
    async def train_final(request: Request, body: FinalBody) -> Any:
        asked = replace(scheduler.final.options, **body.model_dump(exclude_none=True))
        if asked != scheduler.final.options:  # with other options what was trained is forgotten
            await _check_final(context, request, scheduler)
        await run_sync(scheduler.train_final, asked, person(request))
        return {}

    @router.post("/final/forget")
    async def forget_final(request: Request) -> Any:
        await _check_final(context, request, scheduler)
        await run_sync(scheduler.forget_final)
        return {}


async def _check_final(context: AppContext, request: Request, scheduler: Scheduler) -> None:
    """Raises AdministratorsOnly where it is somebody else's training."""
    if (starter := scheduler.final.starter) is not None:
        await check_may_end(context, request, "final model", starter)


def _add_queue(router: APIRouter, queue: LabelQueue) -> None:
    @router.get("/queue")
    async def next_items(
        count: Annotated[int, Query(ge=1, le=500)] = 20,
        ranker: ShortName | None = None,
        images: bool = False,
        search: Search = "",
    ) -> Any:
        return await run_sync(lambda: queue.next(count, ranker, whole_images=images, search=search))

    @router.post("/queue/ranker")
    async def choose(body: RankerBody) -> Any:
        await run_sync(queue.choose, body.name)
        return {}

    @router.post("/queue/skip")
    async def skip(body: SkipBody) -> Any:
        await run_sync(queue.skip, (body.image, body.axis, body.index), body.on)
        return {}


def overview(scheduler: Scheduler) -> Message:
    """What can be chosen, what is chosen and why, and how the rounds stand."""
    choice, settings = scheduler.choice(), scheduler.settings
    proposer = scheduler.proposer()
    return {
        "learners": [
            {
                "name": name,
                "title": e.title,
                "good_at": e.good_at,
                "needs": e.needs,
                "active": name in scheduler.active,
                "paused": name in settings.paused,
                "model": scheduler.rounds.newest(name, "done") is not None,
            }
            for name, e in LEARNERS.items()
        ],
        "proposes": [_proposes(scheduler, name) for name in scheduler.active],
        "why": proposer.why,
        "choice": {"learner": choice.learner, "why": choice.why, "automatic": not settings.learners},
        "settings": {
            "seconds": settings.seconds,
            "settle_seconds": settings.settle_seconds,
            "device": settings.device,
            "adapt": settings.adapt,
            "references": list(settings.references),
        },
        "adapters": [{"name": n, "title": a.title, "good_at": a.good_at} for n, a in ADAPTERS.items()],
        "rounds": scheduler.status(),
        "final": final_status(scheduler),
        "held_out": len(scheduler.rounds.held_out()),
        "ranker": scheduler.store.setting(CHOSEN) or "",
        "rankers": [{"name": n, "title": r.title, "good_at": r.good_at} for n, r in RANKERS.items()],
    }


def _proposes(scheduler: Scheduler, learner: str) -> Message:
    """Who proposes, and how good that is here, in words."""
    return {
        "learner": learner,
        "title": short_title(learner),
        "quality": quality_words(scheduler.store, learner),
    }


def corrections(scheduler: Scheduler, learner: str) -> list[Message]:
    """How much people changed proposals over the project's life: 1 is nothing. Oldest first."""
    return [
        {
            "image": c.image_id,
            "dice": round(c.dice, 4),
            "at": c.created_at,
            "slices": c.labelled_slices,
            "minutes": None if c.annotator_seconds is None else round(c.annotator_seconds / 60, 2),
        }
        for c in scheduler.rounds.corrected(learner)
    ]
