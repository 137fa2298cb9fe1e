"""The nnInteractive server of this app: sessions shared by all people, kept alive while they are used, and given back.

A server that does not answer is left alone but for a look every few seconds; meanwhile nobody waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from annotator.prompting.volumes.address import VolumeAddress
from annotator.prompting.volumes.connection import (
    Connection,
    Declined,
    LeaseEnded,
    ServerFull,
    Unanswered,
    VolumeMask,
)
from annotator.prompting.volumes.leases import SentVolume, ServerLease
from annotator.prompting.volumes.steps import PromptStep

log = logging.getLogger(__name__)

MOST_LEASES = (
    3  # images that are prompted side by side; further ones take the place of the one not used for longest
)
RETRY_SECONDS = 5.0  # between two looks for a server that did not answer
UNUSED_SECONDS = 300.0  # after which a session is given back
SETTLED_SECONDS = 30.0  # after its last prompt a session may be taken for an image that is merely looked at
STOP_SECONDS = 10.0


class VolumeServer:
    """Thread-safe. `changed` is called from a thread of its own when the server is lost or found again."""

    def __init__(self, address: VolumeAddress, retry_seconds: float = RETRY_SECONDS) -> None:
        self.title = address.title
        self._connection, self._retry = Connection(address), retry_seconds
        self._lock = threading.Lock()  # protects the four below; a leaf, not held while the server is asked
        self._leases: list[ServerLease] = []
        self._why = ""  # it does not answer, in words; "" where it does as far as anybody knows
        self._wanted: SentVolume | None = None  # looked at, to be sent ahead
        self._thread: threading.Thread | None = None
        self._claiming = threading.Lock()  # one session is claimed at a time; `_lock` is taken inside it
        self._wake, self._closing = threading.Event(), threading.Event()
        self.changed: Callable[[], None] = lambda: None

    @property
    def why(self) -> str:
        """Why it does not answer, as a sentence without its stop; "" where it does."""
        with self._lock:
            return self._why and f"{self.title} {self._why}"

    def close(self) -> None:
        """Gives the sessions back."""
        self._closing.set()
        self._wake.set()
        with self._lock:
            thread, leases, self._leases = self._thread, self._leases, []
        if not self.why:
            for lease in leases:
                self._connection.release(lease.granted.token)
        if thread is not None:
            thread.join(STOP_SECONDS)
        self._connection.close()

    def look(self, volume: SentVolume) -> None:
        """Somebody has it open: send it before the first click. Returns at once."""
        with self._lock:
            self._wanted = volume
        self._work_aside()

    def mask(self, volume: SentVolume, steps: Sequence[PromptStep]) -> VolumeMask:
        """(Z, Y, X) of the object. Raises Unanswered, at once where the server was lost; TornFile."""
        if why := self._lost():
            raise Unanswered(why)
        try:
            return self._mask(volume, steps)
        except Declined:
            raise
        except Unanswered as error:
            self._lose(str(error))
            raise

    def _mask(self, volume: SentVolume, steps: Sequence[PromptStep]) -> VolumeMask:
        for last in (False, True):
            lease = self._lease_for(volume)
            try:
                with lease.busy:
                    return lease.answer(self._connection, volume, steps)
            except LeaseEnded:  # for instance after a night: nothing is lost, since all is told again
                self._drop(lease)
                if last:
                    raise Unanswered("ended the session twice") from None
        raise AssertionError

    def _lease_for(self, volume: SentVolume) -> ServerLease:
        """The one that holds it, else a new one, else the one not used for longest. Raises Unanswered."""
        with self._claiming:
            lease = self._holding(volume) or self._claimed() or self._least_used()
            lease.used = time.monotonic()
        self._work_aside()
        return lease

    def _least_used(self) -> ServerLease:
        with self._lock:
            if not self._leases:  # lost this moment
                raise ServerFull("is busy with other people")
            return min(self._leases, key=lambda one: one.used)

    def _holding(self, volume: SentVolume) -> ServerLease | None:
        with self._lock:
            here = [one for one in self._leases if one.volume == volume]
            free = [one for one in self._leases if one.volume is None and not one.busy.locked()]
        return next(iter([*here, *free]), None)

    def _claimed(self) -> ServerLease | None:
        """None where we have as many as we may. Raises ServerFull where we have none, and Unanswered."""
        with self._lock:
            count = len(self._leases)
        if count >= MOST_LEASES:
            return None
        try:
            lease = ServerLease(self._connection.claim())
        except LeaseEnded:
            raise Unanswered("answered as no nnInteractive server does") from None
        except ServerFull:
            if count:
                return None
            raise
        with self._lock:
            self._leases.append(lease)
        return lease

    def _drop(self, lease: ServerLease) -> None:
        with self._lock:
            self._leases = [one for one in self._leases if one is not lease]

    def _lost(self) -> str:
        with self._lock:
            return self._why

    def _lose(self, why: str) -> None:
        with self._lock:
            news, self._why = self._why != why, why
            self._leases = []  # a server that comes back may be another one
        log.warning("%s %s", self.title, why)
        self._work_aside()
        if news:
            self.changed()

    def _work_aside(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._keep, name="volume-server", daemon=True)
                self._thread.start()
        self._wake.set()

    def _keep(self) -> None:
        """Until the end: signs of life, volumes sent ahead, sessions given back, looks for a lost server."""
        while not self._closing.is_set():
            self._wake.wait(self._retry)
            self._wake.clear()
            if self._closing.is_set():
                return
            try:
                if self._lost():
                    self._look_again()
                else:
                    self._keep_leases()
                    self._send_ahead()
            except Declined as error:
                log.info("%s %s", self.title, error)
            except Unanswered as error:
                self._lose(str(error))
            except Exception as error:  # a torn file, no memory: the click itself says so
                log.warning("%s: %s", self.title, error)

    def _look_again(self) -> None:
        if self._closing.wait(self._retry):
            return
        try:
            with self._claiming:
                self._claimed()
        except Unanswered as error:
            self._say_lost(str(error))
            return
        with self._lock:
            self._why = ""
        self.changed()

    def _say_lost(self, why: str) -> None:
        with self._lock:
            news, self._why = self._why != why, why
        self._wake.set()
        if news:
            self.changed()

    def _keep_leases(self) -> None:
        now = time.monotonic()
        with self._lock:
            leases = list(self._leases)
        for lease in leases:
            if now - lease.used > UNUSED_SECONDS and not lease.busy.locked():
                self._drop(lease)
                self._connection.release(lease.granted.token)
            elif now - lease.beaten > lease.granted.lively_seconds / 3:
                try:
                    self._connection.heartbeat(lease.granted.token)
                    lease.beaten = time.monotonic()
                except LeaseEnded:
                    self._drop(lease)

    def _send_ahead(self) -> None:
        """Never in place of an image that somebody else prompts."""
        with self._lock:
            volume, self._wanted = self._wanted, None
        if volume is None:
            return
        with self._claiming:
            lease = self._holding(volume) or self._claimed() or self._least_used()
        settled = time.monotonic() - lease.used > SETTLED_SECONDS
        if lease.volume not in (None, volume) and not settled:
            return
        with lease.busy:
            try:
                lease.hold(self._connection, volume)
            except LeaseEnded:
                self._drop(lease)
