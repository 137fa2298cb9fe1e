"""Who may sign in: users with hashed passwords and one-time links, small files that only the owner can read."""

import getpass
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import threading
import time
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path

LINK_HOURS = 24
MIN_PASSWORD, MAX_PASSWORD = 10, 1024
FRESH_SECONDS = 1.0  # a change made by the command line counts after at most this long
# 32 MB and about 0.1 s a guess: https://www.rfc-editor.org/rfc/rfc7914 with n = 2^15, r = 8, p = 1
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 << 20, "dklen": 32}
_NAME = re.compile(r"\w[\w .@+-]{0,62}\w|\w")


@dataclass(frozen=True)
class User:
    name: str
    password: str | None  # "salt:hash" in hex; None signs in by link only
    stamp: str  # part of every session: a new stamp ends them all
    administrator: bool = False  # may read how the server does, and back it up


@dataclass(frozen=True)
class Link:
    name: str
    digest: str  # of the token; the token itself is nowhere on disk
    expires: float  # seconds since 1970


class Accounts:
    """Thread-safe; several processes may use one folder, because every fact is a file of its own."""

    def __init__(self, private: Path) -> None:
        self._users_dir, self._links_dir = private / "users", private / "links"
        for directory in (private, self._users_dir, self._links_dir):
            make_private_directory(directory)
        self._lock = threading.Lock()  # protects _cached
        self._cached: tuple[float, dict[str, User]] | None = None
        self._decoy = f"{secrets.token_hex(16)}:{secrets.token_hex(32)}"  # no password has this hash

    @property
    def defined(self) -> bool:
        """Somebody made a user or a link, even one that has expired: nobody gets in without signing in."""
        return bool(self._users()) or any(self._links_dir.glob("*.json"))

    @property
    def usable(self) -> bool:
        """There is somebody who can sign in."""
        return bool(self._users()) or any(link.expires > time.time() for _, link in self._links())

    def users(self) -> list[User]:
        return sorted(self._users().values(), key=lambda user: user.name)

    def names(self) -> list[str]:
        return [user.name for user in self.users()]

    def user(self, name: str) -> User | None:
        return self._users().get(_key(name))

    def add_user(self, name: str, password: str, *, administrator: bool = False) -> User:
        """Raises ValueError for a name that is taken or odd and for a weak password."""
        name = clean_name(name)
        if self.user(name):
            raise ValueError(
                f"there is a user {name!r} already; change the password or remove the user first"
            )
        hashed = hash_password(_checked(password))
        return self._save(User(name, hashed, secrets.token_hex(8), administrator))

    def set_administrator(self, name: str, on: bool) -> User:
        """Sessions go on. Raises LookupError for an unknown name."""
        return self._save(replace(self._known(name), administrator=on))

    def set_password(self, name: str, password: str) -> User:
        """Also ends every session of the user. Raises LookupError for an unknown name."""
        user = self._known(name)
        hashed = hash_password(_checked(password))
        return self._save(replace(user, password=hashed, stamp=secrets.token_hex(8)))

    def remove_user(self, name: str) -> None:
        """Also ends the sessions and the links of the user."""
        removed = _remove_all(self._users_dir, name) + _remove_all(self._links_dir, name)
        self._forget()
        if not removed:
            raise LookupError(
                f"there is no user {name!r}; the users are: {', '.join(self.names()) or 'none'}"
            )

    def make_link(self, name: str, hours: float = LINK_HOURS) -> str:
        """A token that signs this name in once; whoever has no account gets one then, without a password."""
        token = secrets.token_urlsafe(32)
        link = Link(clean_name(name), _digest(token), time.time() + hours * 3600)
        write_private(self._links_dir / f"{secrets.token_hex(8)}.json", json.dumps(asdict(link)).encode())
        return token

    def holder(self, token: str) -> str | None:
        """Whom an unused link would sign in."""
        found = self._find_link(token)
        return found[1].name if found else None

    def spend_link(self, token: str) -> User | None:
        """The user it signs in; the link is gone then. None for a used, expired or invented one."""
        found = self._find_link(token)
        if found is None:
            return None
        try:
            found[0].unlink()  # of two who come at once, one fails here
        except FileNotFoundError:
            return None
        name = found[1].name
        return self.user(name) or self._save(User(name, None, secrets.token_hex(8)))

    def check_password(self, name: str, password: str) -> User | None:
        """Takes about 0.1 s, as long for an unknown name as for a wrong password."""
        user = self.user(name)
        stored = user.password if user and user.password else self._decoy
        fits = password_fits(password[:MAX_PASSWORD], stored)
        return user if fits and user and user.password else None

    def _known(self, name: str) -> User:
        user = self.user(name)
        if user is None:
            raise LookupError(
                f"there is no user {name!r}; the users are: {', '.join(self.names()) or 'none'}"
            )
        return user

    def _users(self) -> dict[str, User]:
        with self._lock:
            now = time.monotonic()
            if self._cached is None or now - self._cached[0] > FRESH_SECONDS:
                rows = [User(**row) for _, row in _read_all(self._users_dir)]
                self._cached = now, {_key(user.name): user for user in rows}
            return self._cached[1]

    def _links(self) -> list[tuple[Path, Link]]:
        return [(path, Link(**row)) for path, row in _read_all(self._links_dir)]

    def _find_link(self, token: str) -> tuple[Path, Link] | None:
        digest = _digest(token)
        for path, link in self._links():
            if hmac.compare_digest(link.digest, digest) and link.expires > time.time():
                return path, link
        return None

    def _save(self, user: User) -> User:
        old = next((p for p, row in _read_all(self._users_dir) if _key(row["name"]) == _key(user.name)), None)
        path = old or self._users_dir / f"{secrets.token_hex(8)}.json"
        write_private(path, json.dumps(asdict(user)).encode())
        self._forget()
        return user

    def _forget(self) -> None:
        with self._lock:
            self._cached = None


def clean_name(name: str) -> str:
    """The name as it is stored; raises ValueError for one that nobody should have."""
    name = unicodedata.normalize("NFC", name).strip()
    if not _NAME.fullmatch(name):
        raise ValueError("a user name has 1 to 64 letters, digits, spaces or . @ + - _; choose another name")
    return name


def local_user() -> str:
    """Whoever started the server, by the computer's account."""
    try:
        return clean_name(re.sub(r"[^\w.@+-]", "-", getpass.getuser())[:64].strip(".@+-"))
    except (OSError, KeyError, ImportError, ValueError):
        return "local"


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def password_fits(password: str, stored: str) -> bool:
    salt, wanted = (bytes.fromhex(part) for part in stored.split(":"))
    return hmac.compare_digest(
        hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, **SCRYPT), wanted
    )


def make_private_directory(directory: Path) -> None:
    """Only the owner may look inside."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name == "nt":
        _restrict_on_windows(directory)
    else:
        directory.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Durable and all-or-nothing, never readable by others, not even for a moment."""
    temporary = path.with_name(f"{path.stem}-{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _restrict_on_windows(directory: Path) -> None:
    """Folders of a Windows profile are private already; this helps for those outside of it."""
    owner = f"{os.environ.get('USERDOMAIN', '.')}\\{getpass.getuser()}"
    command = ["icacls", str(directory), "/inheritance:r", "/grant:r", f"{owner}:(OI)(CI)F"]
    subprocess.run(command, capture_output=True, check=False)


def _read_all(directory: Path) -> list[tuple[Path, dict]]:
    """Every record; one that vanishes or is torn while we read counts as gone."""
    rows = []
    for path in sorted(directory.glob("*.json")):
        try:
            rows.append((path, json.loads(path.read_bytes())))
        except (OSError, ValueError):
            continue
    return rows


def _remove_all(directory: Path, name: str) -> int:
    mine = [path for path, row in _read_all(directory) if _key(row["name"]) == _key(name)]
    for path in mine:
        path.unlink(missing_ok=True)
    return len(mine)


def _checked(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ValueError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; choose a longer one")
    return password


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
