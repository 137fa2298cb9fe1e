"""What stands at the moment of asking: open pages, queues, rounds, memory, disk."""

import shutil
from collections.abc import Iterable, Iterator

import psutil
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from annotator.backups.snapshots import snapshots
from annotator.web.context import AppContext


class StateGauges(Collector):
    """Asks the parts of a server. Takes milliseconds; not for the event loop."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # else the registry would ask for everything when it is made

    def collect(self) -> Iterator[GaugeMetricFamily]:
        hub, store = self._context.hub, self._context.workflow.store
        yield _one("slicewise_pages_open", "Pages with a live connection", len(hub))
        yield _one("slicewise_people", "People with a page open", len(hub.people()))
        yield _by("slicewise_waiting", "What waits to be done", "what", self._waiting())
        yield _rounds(store.rounds.counts())
        yield _one("slicewise_images", "Images of the project", store.images(limit=0)[0])
        yield _one("slicewise_newest_label", "The clock: the id of the newest label", store.newest_label())
        yield _by("slicewise_memory_bytes", "Resident memory", "process", _memory())
        yield _one(
            "slicewise_disk_free_bytes", "Free where the project lies", shutil.disk_usage(store.root).free
        )
        size = sum(file.stat().st_size for file in store.root.glob("project.db*"))
        yield _one("slicewise_database_bytes", "project.db and its journal", size)

        newest = max((file.stat().st_mtime for file in snapshots(store.root)), default=0.0)
        yield _one("slicewise_newest_snapshot_timestamp_seconds", "When the newest snapshot was made", newest)

    def _waiting(self) -> dict[str, int]:
        background = self._context.workflow.background
        return {
            "prompts": self._context.hub.prompts_waiting(),
            "fills": background.fills.waiting if background else 0,
            "embeddings": self._context.meters.embeddings_waiting,
            "jobs": sum(job.state == "running" for job in self._context.jobs.visible_jobs()),
        }


def _one(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, value=value)


def _by(name: str, help: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _rounds(counts: dict[tuple[str, str], int]) -> GaugeMetricFamily:
    help = "Rounds of learners since the project was made"
    family = GaugeMetricFamily("slicewise_rounds", help, labels=["learner", "status"])
    for (learner, status), count in counts.items():
        family.add_metric([learner, status], count)
    return family


def _memory() -> dict[str, int]:
    """Of the server, and of the processes that it started."""
    server, workers = psutil.Process(), 0
    for child in server.children(recursive=True):
        try:
            workers += child.memory_info().rss
        except psutil.Error:  # it ended this moment
            continue
    return {"server": server.memory_info().rss, "workers": workers}
