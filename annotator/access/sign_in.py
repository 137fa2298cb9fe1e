"""Names and passwords, checked for the sign-in page and for programs that have a form of their own."""

from collections import OrderedDict
from dataclasses import dataclass

import anyio

from annotator.access.accounts import User
from annotator.access.rate_limits import MAX_KEYS, Buckets, Rate
from annotator.access.sessions import Sessions

ATTEMPTS = Rate(per_second=1 / 6, burst=10)  # at one name from one address
AN_ADDRESS = Rate(per_second=1, burst=60)  # a laboratory behind one address is many people
A_NAME = Rate(per_second=1, burst=100)  # from everywhere: guessers on many addresses
CONCURRENT_GUESSES = 2  # each guess takes 32 MB and 0.1 s of a core


@dataclass(frozen=True)
class Form:
    name: str = ""
    password: str = ""
    link: str = ""


class Attempts:
    """Who has to wait before the next guess. Guessers elsewhere never keep a person out who was here before."""

    def __init__(self) -> None:
        self._by_address, self._by_name = Buckets(AN_ADDRESS), Buckets(A_NAME)
        self._by_both = Buckets(ATTEMPTS)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # address and name that signed in

    def wait(self, address: str, name: str) -> int:
        """Whole seconds, 0 where the attempt may be made. `name` is empty for a link, which nobody guesses."""
        if wait := self._by_address.take(address):
            return wait
        if not name:
            return 0
        wait = self._by_both.take((address, name))
        return wait if wait or (address, name) in self._known else self._by_name.take(name)

    def succeeded(self, address: str, name: str) -> None:
        """Remember where this person signs in."""
        self._known[address, name] = None
        self._known.move_to_end((address, name))
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)


class SignIn:
    """One for a server, so that a guesser has one budget whichever form is used. For the event loop only."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions, self._attempts = sessions, Attempts()
        self._slots = anyio.CapacityLimiter(CONCURRENT_GUESSES)

    def wait(self, address: str, form: Form) -> int:
        """Seconds until this form may be tried, 0 for now."""
        return self._attempts.wait(address, "" if form.link else form.name.strip().casefold())

    async def user(self, address: str, form: Form) -> User | None:
        """Who this is; None for a wrong password or link."""
        user = await anyio.to_thread.run_sync(_check, self.sessions, form, limiter=self._slots)
        if user is not None:
            self._attempts.succeeded(address, user.name.casefold())
        return user


def _check(sessions: Sessions, form: Form) -> User | None:
    if form.link:
        return sessions.accounts.spend_link(form.link)
    return sessions.accounts.check_password(form.name, form.password)
