"""What works while people label: fills of volumes from a few slices, the learners' rounds, and the prompt model's."""

from collections.abc import Callable
from concurrent.futures import Executor

from annotator.filling.asked_fills import AskedFills
from annotator.filling.fill_worker import FillWorker
from annotator.filling.likely_places import LikelyPlaces
from annotator.filling.mending import Mending
from annotator.filling.proposals import VolumeProposals
from annotator.filling.trust_layer import TrustView
from annotator.labels.label_cache import LabelCache
from annotator.learning.label_queue import LabelQueue
from annotator.learning.scheduler import Scheduler
from annotator.prompting.tuner import Tuner
from annotator.protocol.outgoing import Message
from annotator.text import sentence
from storage.arrays import SliceRef
from storage.store import Store


class Background:
    """Thread-safe. Nothing here ever delays a commit or a click: `labelled` and `look` return at once."""

    def __init__(
        self,
        store: Store,
        folds: LabelCache,
        engine: Executor,
        *,
        learn: bool,
        publish: Callable[[Message], None],
        use_tuned_layers: Callable[[], None] = lambda: None,
    ) -> None:
        """`use_tuned_layers` is called from a thread of its own when the project has other tuned layers."""
        self._publish = publish
        self.fills = FillWorker(store, folds, publish=publish)
        self.proposals, self.trust = VolumeProposals(store, self.fills), TrustView(store, folds)
        self.mending, self.asked = Mending(store, folds), AskedFills(store)
        self.places = LikelyPlaces(store, folds)
        self.scheduler = Scheduler(store, engine, publish=self.tell)
        self.tuner = Tuner(store, engine, busy=lambda: self.scheduler.busy, use_tuned_layers=use_tuned_layers)
        self._learn, self._looking = learn, store.looking

    def open(self) -> None:
        if self._looking:
            self.scheduler.off = sentence(self._looking)
        elif not self._learn:
            self.scheduler.off = "Learning is switched off; restart the server without --no-learn."
        else:
            self.scheduler.open()
            self.scheduler.notify()
            self.tuner.open()

    def labelled(self, image_id: int) -> None:
        """The labels of this image changed."""
        self.fills.refresh(image_id)
        self.notify()

    def tell(self, message: Message) -> None:
        """A learner's news, to the pages. A proposal for a labelled image is corrected by what people said."""
        self._publish(message)
        if message["t"] == "proposal" and self.fills.knows_labels(message["image"]):
            self.fills.refresh(message["image"])

    def notify(self) -> None:
        """Labels changed somewhere."""
        self.scheduler.notify()
        self.tuner.notify()

    def look(self, image_id: int) -> None:
        """Somebody has this image open. Called for every slice; the page asks for its fill once, over HTTP."""
        self.scheduler.look(image_id)

    def head(self, count: int) -> list[SliceRef]:
        """What people are asked to label next. Takes up to a second."""
        items = LabelQueue(self.scheduler).next(count)["items"]
        return [SliceRef(item["image"], item["axis"], item["index"]) for item in items]

    def close(self) -> None:
        self.tuner.close()
        self.scheduler.close()
        self.fills.close()
        self.asked.close()
