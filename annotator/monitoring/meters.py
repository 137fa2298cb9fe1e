"""What is counted while it happens: requests, prompts, changes, fills. Of one server, from its start on."""

import time
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram

from annotator.protocol.outgoing import Message

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0, 30.0)  # upper ends of the histograms


@dataclass
class Meters:
    """Thread-safe. `registry` is what `/metrics` prints; names stand in docs/guide/administration.md."""

    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=True))

    def __post_init__(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "slicewise_requests", "Answers to HTTP requests", ["status"], registry=registry
        )
        self.prompts = Counter("slicewise_prompts", "Prompts by outcome", ["outcome"], registry=registry)
        self.prompt_seconds = Histogram(
            "slicewise_prompt_seconds", "From a prompt to its mask", buckets=SECONDS, registry=registry
        )
        self.changes = Counter(
            "slicewise_changes", "Labels and other changes", ["kind", "outcome"], registry=registry
        )
        self.change_seconds = Histogram(
            "slicewise_change_seconds", "From a change to its answer", buckets=SECONDS, registry=registry
        )
        self.fills = Counter("slicewise_fills", "Fills that ended", ["state"], registry=registry)
        self.embeddings_waiting = 0

    def hear(self, message: Message) -> None:
        """News for pages, from any thread."""
        if message["t"] == "fill" and message["state"] != "running":
            self.fills.labels(message["state"]).inc()
        if message["t"] == "job" and message["kind"] == "embed":
            self.embeddings_waiting = max(0, message["total"] - message["done"])

    def prompted(self, answer: Message, asked: float) -> None:
        """A prompt of `asked` (of time.monotonic) was answered by a mask or a refusal."""
        refused = answer["t"] == "refused"
        self.prompts.labels("refused" if refused else "answered").inc()
        if not refused:
            self.prompt_seconds.observe(time.monotonic() - asked)

    def changed(self, kind: str, outcome: str, began: float) -> None:
        """A change of this kind was `acknowledged`, `refused`, or refused for `later`."""
        self.changes.labels(kind, outcome).inc()
        self.change_seconds.observe(time.monotonic() - began)
