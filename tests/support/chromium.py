"""A real server on a fresh project and a real headless Chromium, for tests that do what a person does.

`tests/conftest.py` gives its fixtures to every test.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

ROOT = Path(__file__).resolve().parents[2]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 120  # a project of examples is filled meanwhile
EXPECT_MS = 20_000  # a machine that does other work too takes seconds to load the page
expect.set_options(timeout=EXPECT_MS)
READY = ".sw[data-ready='1'] .sw-host[data-ready='1']"


@dataclass
class RunningServer:
    """`app.py` in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As Ctrl+C or a service manager would; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return -1


def start_server(
    folder: Path,
    *more: str,
    port: int = 0,
    learn: bool = False,
    tree: Path = ROOT,
    wrapped: tuple[str, ...] = (),
) -> RunningServer:
    """Start `app.py open` in a folder and wait until it says where it is; the caller stops it.

    Without further arguments it opens the gallery of formats, in `folder/slicewise-projects/gallery`. `tree` holds
    the program. `wrapped`: what stands before its command. Prompts are answered in the server itself, unless `more`
    says otherwise: starting workers costs each of many servers some seconds.
    """
    if tree == ROOT and "--prompt-workers" not in more:
        more = (*more, "--prompt-workers", "0")
    if not {"--project", "--example"} & {*more}:
        more = ("--example", "gallery", *more)
    command = [
        *wrapped,
        sys.executable,
        str(tree / "app.py"),
        "open",
        "--no-browser",
        "--port",
        str(port),
        *more,
    ]
    command += [] if learn else ["--no-learn"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    said: list[str] = []
    address = _wait_for_address(process, said)
    watchdog.cancel()
    if address is None:
        raise RuntimeError("the server did not start: " + "".join(said)[-2000:])
    threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True).start()
    return RunningServer(process, address, said)


def _wait_for_address(process: subprocess.Popen[str], said: list[str]) -> str | None:
    for line in process.stdout or ():
        said.append(line)
        if found := re.search(r"ready at (https?://[\w.:]+)", line):
            return found[1].rstrip("/")
    return None


@pytest.fixture(scope="module")  # Playwright allows one at a time in a process; each module closes its own
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}; set CHROMIUM to yours")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the module, on a fresh project with the gallery of formats."""
    running = start_server(tmp_path_factory.mktemp("served"))
    yield running
    running.stop()


class Launch(Protocol):
    def __call__(self, *arguments: str, port: int = 0) -> RunningServer: ...


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts servers in the test's own folder; what still runs at its end is stopped."""
    started: list[RunningServer] = []

    def start(*arguments: str, port: int = 0) -> RunningServer:
        started.append(start_server(tmp_path, *arguments, port=port))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@dataclass
class PageWatch:
    """What must not happen in a page: errors, and requests to other hosts."""

    address: str
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # pieces of console errors that a test provokes

    def follow(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        ours = (self.address, self.address.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(ours):
            self.faults.append(f"request to another host: {request.url}")

    def check(self) -> None:
        unexpected = [fault for fault in self.faults if not any(piece in fault for piece in self.expected)]
        assert not unexpected, unexpected


def new_context(browser: Browser, **more: object) -> BrowserContext:
    settings = {"viewport": {"width": 1280, "height": 720}, "reduced_motion": "reduce"} | more
    return browser.new_context(**settings)  # type: ignore[arg-type]


def open_page(page: Page, address: str, path: str = "/") -> Page:
    """Go to the app and wait until the canvas has drawn."""
    page.goto(address + path)
    page.wait_for_selector(READY, timeout=60_000)
    return page


@pytest.fixture
def watch(server: RunningServer) -> PageWatch:
    return PageWatch(server.address)


@pytest.fixture(scope="module")
def same_context(browser: Browser) -> Iterator[BrowserContext]:
    """One for the module: what it has fetched and compiled of the page serves the next test as well."""
    context = new_context(browser)
    yield context
    context.close()


@pytest.fixture
def page(same_context: BrowserContext, server: RunningServer, watch: PageWatch) -> Iterator[Page]:
    """The app, open on the first image; the test fails where the page did."""
    with stranger(same_context, watch) as page:
        yield open_page(page, server.address)


@contextmanager
def stranger(context: BrowserContext, watch: PageWatch) -> Iterator[Page]:
    """A page of somebody who was never here: no cookies, no settings, no strokes that wait to be sent."""
    page = context.new_page()
    asked = context.new_cdp_session(page)
    asked.send("Storage.clearDataForOrigin", {"origin": watch.address, "storageTypes": "all"})
    asked.detach()
    watch.follow(page)
    try:
        yield page
        page.unroute_all(behavior="wait")  # an answer under way would fail in the next test's name
    finally:
        for one in context.pages:
            one.close()
    watch.check()
