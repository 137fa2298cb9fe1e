"""Background jobs: one of a kind, progress, cancel, one sentence when they fail."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from annotator.jobs import MAX_REFUSED, Busy, Cancelled, Job, Jobs
from annotator.labels.commit import Refused
from annotator.web.errors import describe_error
from models.weights import DownloadFailed
from storage.arrays import TornFile
from storage.database import StorageFull

SECONDS = 10


class Heard:
    """Everything that listeners were told, and a way to wait for the end."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.ended = threading.Event()

    def __call__(self, job: Job) -> None:
        self.told.append(job.as_message())
        if job.state != "running":
            self.ended.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def jobs(heard: Heard) -> Iterator[Jobs]:
    jobs = Jobs(heard, explain=lambda error: describe_error(error).line)
    yield jobs
    jobs.close()


def test_a_job_reports_and_ends_with_what_it_made(jobs: Jobs, heard: Heard) -> None:
    def work(job: Job) -> str:
        job.report("Reading", 3, 9, "scan.nii")
        job.refuse("notes.txt is\nnot an image")
        return "/api/export/1"

    job = jobs.start("export", work)
    assert heard.ended.wait(SECONDS)
    last = heard.told[-1]
    assert last == job.as_message() and job.state == "done"
    assert (last["phase"], last["done"], last["total"]) == ("Reading", 3, 9)
    assert last["refused"] == ["notes.txt is not an image"] and last["url"] == "/api/export/1"


def test_one_job_of_a_kind_runs_at_a_time(jobs: Jobs, heard: Heard) -> None:
    gate = threading.Event()
    first = jobs.start("import", lambda job: None if gate.wait(SECONDS) else "the gate stayed shut")
    with pytest.raises(Busy, match="import is running"):
        jobs.start("import", lambda job: None)
    jobs.start("export", lambda job: None)
    assert heard.ended.wait(SECONDS) and first.state == "running"
    heard.ended.clear()
    gate.set()
    assert heard.ended.wait(SECONDS)
    jobs.start("import", lambda job: None)


def test_a_cancelled_job_ends_as_cancelled_however_it_stops(jobs: Jobs) -> None:
    for stop in ("return", "raise", "fail"):
        started, heard_end = threading.Event(), threading.Event()

        def work(job: Job, stop: str = stop, started: threading.Event = started) -> None:
            started.set()
            while not job.cancelled:
                job.report("Reading", 0, 1)
            if stop == "raise":
                job.check()
            if stop == "fail":
                raise OSError("the file was closed under its reader")

        job = jobs.start("import", work)
        assert started.wait(SECONDS)
        job.cancel()
        while job.state == "running":
            heard_end.wait(0.01)
        assert job.state == "cancelled"


def test_check_raises_only_after_a_cancel() -> None:
    job = Job("import")
    job.check()
    job.cancel()
    with pytest.raises(Cancelled):
        job.check()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StorageFull("the disk is full"), "disk is full"),
        (OSError(28, "No space left on device"), "disk is full"),
        (ValueError("this scan has two halves"), "This scan has two halves."),
        (TornFile("the pixels in 1.npy cannot be read"), "1.npy"),
        (DownloadFailed("the file came cut short; try again"), "The file came cut short; try again."),
        (Refused("nobody labelled anything yet"), "Nobody labelled anything yet."),
        (ZeroDivisionError("division by zero"), "Something went wrong here (ZeroDivisionError)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_job_that_fails_says_one_sentence(jobs: Jobs, heard: Heard, error: Exception, words: str) -> None:
    def work(job: Job) -> None:
        raise error

    job = jobs.start("import", work)
    assert heard.ended.wait(SECONDS)
    assert (
        job.state == "failed"
        and words in job.as_message()["message"]
        and "\n" not in job.as_message()["message"]
    )


def test_thousands_of_refused_lines_are_counted_not_carried_along() -> None:
    job = Job("import")
    for n in range(MAX_REFUSED + 70):
        job.refuse(f"{n} " + "x" * 5000)
    assert len(job.refused) == MAX_REFUSED + 1 and job.refused[-1] == "and 70 more"
    assert max(map(len, job.refused)) < 1000


def test_progress_is_told_now_and_then_but_the_end_always() -> None:
    told: list[str] = []
    job = Job("import", lambda job: told.append(job.state))

    def work(job: Job) -> None:
        for n in range(10_000):
            job.report("Reading", n, 10_000)

    job.run(work)
    assert told[-1] == "done" and len(told) < 100


def test_a_late_comer_sees_what_runs_and_finds_what_is_done(jobs: Jobs, heard: Heard) -> None:
    gate = threading.Event()
    job = jobs.start("import", lambda job: None if gate.wait(SECONDS) else "the gate stayed shut")
    assert [j.id for j in jobs.running()] == [job.id]
    gate.set()
    assert heard.ended.wait(SECONDS)
    assert jobs.running() == [] and jobs.get(job.id) is job
    with pytest.raises(LookupError):
        jobs.get("0" * 16)


def test_closing_stops_what_runs_and_starts_nothing_more(jobs: Jobs) -> None:
    def work(job: Job) -> None:
        while not job.cancelled:
            threading.Event().wait(0.005)

    job = jobs.start("import", work)
    jobs.close()
    assert job.state == "cancelled"
    with pytest.raises(Busy):
        jobs.start("import", work)
