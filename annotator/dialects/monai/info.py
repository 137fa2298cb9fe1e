"""What the server can do, and which image comes next."""

import time
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from annotator.access.sessions import session_of
from annotator.dialects.monai.desk import Desk
from annotator.dialects.monai.log_lines import recent_lines
from annotator.dialects.monai.models import models_of
from annotator.dialects.monai.training import train_stats, trainers
from annotator.dialects.subjects import image_of, key_of, label_names
from annotator.labels.commit import Refused
from annotator.learning.label_queue import LabelQueue
from learners.rankers import RANKERS

VERSION = "0.8.5"  # of MONAI Label, whose protocol this is
CHOSEN = "default"  # the strategy that stands for the ranker of the project


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/info/")
    async def info() -> Any:
        return await run_sync(_info, desk)

    @router.post("/activelearning/{strategy}")
    async def next_sample(strategy: str) -> Any:
        return await run_sync(_next, desk, strategy)

    @router.get("/logs/")
    async def logs(request: Request, lines: int = 300) -> Response:
        if not desk.context.sessions.is_administrator(session_of(request)):
            raise Refused("the server's log is for administrators; ask one of them")
        return PlainTextResponse("\n".join(recent_lines(lines)))

    @router.get("/model/info/{model}")
    async def model(model: str) -> Any:
        found = (await run_sync(models_of, desk)).get(model)
        if found is None:
            raise LookupError(f"there is no model {model[:80]!r}; ask for the list anew")
        return found

    recent_lines(0)  # collects from now on
    return router


def _info(desk: Desk) -> dict[str, Any]:
    store = desk.context.workflow.store
    counts = store.image_states.counts()
    total = sum(counts.values())
    tags: dict[str, int] = {"final": counts["done"] + counts["work"]}
    for notes in store.tool_notes.all().values():
        for tag in filter(None, notes):
            tags[tag] = tags.get(tag, 0) + (tag != "final")
    strategies = {CHOSEN: {"description": "what the project's ranker says"}}
    strategies |= {name: {"description": f"{e.title}: {e.good_at}"} for name, e in RANKERS.items()}
    return {
        "name": f"Slicewise: {store.root.name}",
        "description": "Slicewise learns while you label",
        "version": VERSION,
        "labels": label_names(store.classes()),
        "models": models_of(desk),
        "trainers": trainers(desk),
        "strategies": strategies,
        "scoring": {},
        "train_stats": train_stats(desk),
        "datastore": {"total": total, "completed": tags["final"], "label_tags": tags},
    }


def _next(desk: Desk, strategy: str) -> dict[str, Any]:
    """Empty where nothing is left. Raises LookupError for an unknown strategy."""
    ranker = None if strategy == CHOSEN else strategy
    scheduler = desk.background.scheduler
    labelled = set(scheduler.rounds.labelled_images())
    queue = LabelQueue(scheduler).next(len(labelled) + 1, ranker, whole_images=True)["items"]
    found = [item for item in queue if item["image"] not in labelled]  # a tool labels an image as a whole
    if not found:
        return {}
    row = desk.context.workflow.store.image(found[0]["image"])
    key = key_of(row)
    about = {"why": found[0]["why"], "image_name": row.name, "ts": int(time.time())}
    return {"id": key, "name": f"{key}.nii.gz", **about}


def image_info(desk: Desk, key: str) -> dict[str, Any]:
    """What is known of an image beside its voxels, and what a tool said of it."""
    store = desk.context.workflow.store
    row = image_of(store, key)
    note = store.tool_notes.of(row.id).get("")
    facts = {"name": f"{key_of(row)}.nii.gz", "image_name": row.name, "ts": row.created_at}
    return {**(note.info if note else {}), **facts}
