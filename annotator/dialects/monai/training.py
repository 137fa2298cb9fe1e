"""Training as the clients start, watch and stop it: rounds of the project's learners."""

import time
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from annotator.dialects.monai.desk import Desk
from annotator.labels.commit import Refused
from annotator.protocol.outgoing import Message
from learners import LEARNERS

START_SECONDS, POLL_SECONDS = 3.0, 0.1
IDLE = {"detail": "No training is running."}


def make_router(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/train")
    scheduler = desk.background.scheduler

    @router.get("/")
    async def status(all: bool = False, check_if_running: bool = False) -> Any:
        running = _running(await run_sync(scheduler.status))
        if not running:
            return JSONResponse(IDLE, 404)
        return running if all else running[0]

    @router.post("/{model}")
    async def start(model: str, wait: Annotated[bool, Query(alias="run_sync")] = False) -> Any:
        return await _start(desk, model, wait=wait)

    @router.post("/")
    async def start_all(wait: Annotated[bool, Query(alias="run_sync")] = False) -> Any:
        return {
            name: {"result": await _start(desk, name, wait=wait), "detail": ""} for name in scheduler.active
        }

    @router.delete("/")
    async def stop() -> Any:
        # what trains for days is ended on the page, by whoever began it
        running = [t for t in _running(await run_sync(scheduler.status)) if not LEARNERS[t["model"]].lasting]
        for task in running:
            await run_sync(scheduler.stop, task["model"])
        if not running:
            return None
        # the plugin reads the last line of `details`, and fails where there is none
        return {
            **running[0],
            "status": "STOPPED",
            "details": ["Stopped; what was learned is compared and kept."],
        }

    return router


async def _start(desk: Desk, model: str, *, wait: bool) -> Any:
    """A task. Raises LookupError for an unknown learner, Refused where it cannot learn yet."""
    scheduler = desk.background.scheduler
    if scheduler.off:
        raise Refused(scheduler.off)
    if model in {task["model"] for task in _running(await run_sync(scheduler.status))}:
        return JSONResponse({"detail": "A round of this learner is running; wait for it, or stop it."}, 429)
    before = scheduler.rounds.newest(model)
    await run_sync(scheduler.update_now, model)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if scheduler.rounds.newest(model) != before:
            break
        if lacks := scheduler.waits_for(model):
            raise Refused(lacks)
        await anyio.sleep(POLL_SECONDS)
    while wait and _running(await run_sync(scheduler.status)):
        await anyio.sleep(POLL_SECONDS)
    tasks = [task for task in _running(await run_sync(scheduler.status)) if task["model"] == model]
    return tasks[0] if tasks else _task(model, "DONE" if wait else "SUBMITTED", "The round starts at once.")


def _running(told: list[Message]) -> list[dict[str, Any]]:
    return [
        {**_task(one["learner"], "RUNNING", _words(one)), "round": one["round"]}
        for one in told
        if one["state"] == "running"
    ]


def _words(told: Message) -> str:
    at = told.get("progress") or {}
    left = at.get("seconds_left")
    return f"{at.get('phase') or 'training'}{'' if left is None else f', {round(left)} s left'}"


def _task(learner: str, status: str, line: str) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return {
        "id": learner,
        "model": learner,
        "status": status,
        "request": {"model": learner},
        "start_ts": now,
        "details": [line],
    }


def trainers(desk: Desk) -> dict[str, Any]:
    """The learners, those that propose now first."""
    names = dict.fromkeys((*desk.background.scheduler.active, *LEARNERS))
    return {
        name: {"description": f"{LEARNERS[name].title}: {LEARNERS[name].good_at}", "config": {}}
        for name in names
    }


def train_stats(desk: Desk) -> dict[str, Any]:
    """Of each learner that has run: how its held-out Dice stands. Nothing is said that nobody measured."""
    found = {}
    for told in desk.background.scheduler.status():
        if told["dice"] is not None:
            found[told["learner"]] = {
                "epoch": told["round"],
                "total_epochs": told["round"],
                "best_metric": told["dice"],
            }
    return found
