"""Work that takes a while (import, export, download), each job in a thread of its own, with progress and cancel."""

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from annotator.protocol import outgoing
from annotator.protocol.outgoing import JobState, Message

log = logging.getLogger(__name__)

Listen = Callable[["Job"], None]
MAX_REFUSED = 300  # lines kept; the rest is counted
MAX_LINE = 300
MAX_KEPT = 50  # finished jobs that a tab which comes later can still see
TELL_SECONDS = 0.2  # progress is told at most this often
Explain = Callable[[BaseException], str]  # an error as one sentence


class Busy(Exception):
    """A job of this kind is running already."""


class Cancelled(Exception):
    """Raised by `Job.check` in the job's own thread after somebody cancelled it."""


@dataclass(frozen=True)
class JobProgress:
    phase: str = ""
    done: int = 0
    total: int = 0
    message: str = ""


class Job:
    """Thread-safe. The worker reports, everybody else reads `as_message()` and may `cancel()`."""

    def __init__(self, kind: str, listen: Listen = lambda job: None, *, by: str = "", **details: str) -> None:
        """`by`: who started it, "" for the app itself."""
        self.id, self.kind, self.by, self.details = secrets.token_hex(8), kind, by, details
        self.state: JobState = "running"
        self.url: str | None = None
        self.progress = JobProgress()
        self._listen = listen
        self._lock = threading.Lock()  # protects everything below
        self._refused: list[str] = []
        self._left_out = 0
        self._told_at = 0.0
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raises Cancelled where somebody cancelled this job."""
        if self.cancelled:
            raise Cancelled

    def report(self, phase: str, done: int, total: int, message: str = "") -> None:
        """How far it is; cheap enough to call for every file."""
        self.progress = JobProgress(phase, int(done), int(total), message[:MAX_LINE])
        now = time.monotonic()
        with self._lock:
            due = now - self._told_at >= TELL_SECONDS
            self._told_at = now if due else self._told_at
        if due:
            self._listen(self)

    def refuse(self, line: str) -> None:
        """One line about one thing that was left out."""
        with self._lock:
            if len(self._refused) < MAX_REFUSED:
                self._refused.append(" ".join(line.split())[:MAX_LINE])
            else:
                self._left_out += 1

    def cancel(self) -> None:
        self._cancelled.set()

    @property
    def refused(self) -> tuple[str, ...]:
        with self._lock:
            more = (f"and {self._left_out} more",) if self._left_out else ()
            return (*self._refused, *more)

    def as_message(self) -> Message:
        """The `job` message of docs/protocol.md."""
        progress = self.progress
        return outgoing.job(
            self.id,
            kind=self.kind,
            phase=progress.phase,
            done=progress.done,
            total=progress.total,
            message=progress.message,
            state=self.state,
            refused=self.refused,
            url=self.url,
            by=self.by or None,
            **self.details,
        )

    def run(self, work: "JobWork", explain: Explain = str) -> None:
        """Do the work in this thread and note how it ended; never raises."""
        try:
            self.url = work(self)
            self._end("cancelled" if self.cancelled else "done", self.progress.message)
        except Cancelled:
            self._end("cancelled", "Stopped; what was finished is kept.")
        except Exception as error:
            self._end("cancelled" if self.cancelled else "failed", explain(error))

    def _end(self, state: JobState, message: str) -> None:
        progress = self.progress
        self.progress = JobProgress(progress.phase, progress.done, progress.total, message[:MAX_LINE])
        self.state = state
        log.info("%s %s: %s", self.kind, self.id, state)
        self._listen(self)


JobWork = Callable[[Job], str | None]  # returns the URL of what it made, if anything


class Jobs:
    """Thread-safe. One job of a kind at a time."""

    def __init__(self, listen: Listen, explain: Explain = str) -> None:
        self._listen, self._explain = listen, explain
        self._lock = threading.Lock()  # protects _jobs and _threads
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._threads: dict[str, threading.Thread] = {}
        self._closed = False

    def start(self, kind: str, work: JobWork, *, by: str = "", **details: str) -> Job:
        """Raises Busy while another of its kind runs. `by`: who asks for it, "" for the app itself. `details` go into
        its messages as they are."""
        job = Job(kind, self._listen, by=by, **details)
        with self._lock:
            if self._closed or any(j.kind == kind and j.state == "running" for j in self._jobs.values()):
                raise Busy(f"Another {kind} is running; wait for it, or stop it.")
            self._jobs[job.id] = job
            self._forget_old()
            thread = threading.Thread(
                target=self._run, args=(job, work), name=f"{kind}-{job.id}", daemon=True
            )
            self._threads[job.id] = thread
        self._listen(job)
        thread.start()
        return job

    def get(self, job_id: str) -> Job:
        """Raises LookupError for an unknown one."""
        with self._lock:
            if job_id not in self._jobs:
                raise LookupError("There is no such job any more; start it again.")
            return self._jobs[job_id]

    def running(self) -> list[Job]:
        with self._lock:
            return [job for job in self._jobs.values() if job.state == "running"]

    def visible_jobs(self) -> list[Job]:
        """To a page that comes now: what runs, and the last download that failed."""
        with self._lock:
            jobs = list(self._jobs.values())
        failed = [job for job in jobs if job.kind == "download" and job.state == "failed"]
        return [*failed[-1:], *(job for job in jobs if job.state == "running")]

    def close(self, seconds: float = 10.0) -> None:
        """Stop every job and wait for it; none starts any more."""
        with self._lock:
            self._closed = True
            threads = list(self._threads.values())
        for job in self.running():
            job.cancel()
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, job: Job, work: JobWork) -> None:
        job.run(work, self._explain)
        with self._lock:
            self._threads.pop(job.id, None)

    def _forget_old(self) -> None:
        finished = [job.id for job in self._jobs.values() if job.state != "running"]
        for job_id in finished[: max(0, len(finished) - MAX_KEPT)]:
            del self._jobs[job_id]
