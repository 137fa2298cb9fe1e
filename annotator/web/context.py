"""What all routes and websockets of a server share."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from fastapi import Request, WebSocket

from annotator.access.sessions import Sessions, user_of
from annotator.jobs import Jobs
from annotator.monitoring.meters import Meters
from annotator.web.compression import CompressedCache
from annotator.web.hub import Hub
from annotator.web.uploads import Uploads
from annotator.workflow import Workflow

READERS = 4  # slabs read and compressed at once


@dataclass
class AppContext:
    """One of each for a server. Lock order: neither `committing` nor `predicting` is taken while the other is held."""

    workflow: Workflow
    hub: Hub
    jobs: Jobs
    sessions: Sessions
    uploads: Uploads
    exports: Path  # finished exports wait here to be fetched
    meters: Meters = field(default_factory=Meters)
    compressed: CompressedCache = field(default_factory=CompressedCache)
    reading: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(READERS))
    # One commit after another, and its regions leave before the next: a tab never sees an older state last.
    committing: asyncio.Lock = field(default_factory=asyncio.Lock)
    # One prediction at a time; waiting tabs take turns, each with its newest prompt only.
    predicting: asyncio.Lock = field(default_factory=asyncio.Lock)


def person(connection: Request | WebSocket) -> str:
    """Who asks; the guard lets nobody else through."""
    user = user_of(connection)
    if user is None:
        raise PermissionError("the guard let a stranger through")
    return user


def cache_control(context: AppContext, request: Request) -> str:
    """How long a browser may keep the pixels of an image.

    Another project may come to this address tomorrow: only an address that names the project never changes.
    """
    fixed = request.query_params.get("project") == context.sessions.project_id
    return "private, max-age=31536000, immutable" if fixed else "private, no-cache"


def empty_folder(folder: Path) -> Path:
    """A folder with nothing left in it from before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
