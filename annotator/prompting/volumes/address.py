"""Where a server of nnInteractive is: what an administrator says at the start, and nobody else."""

from dataclasses import dataclass, field
from pathlib import Path

from httpx import URL, InvalidURL

TOKEN_FILE = "nninteractive.token"  # in the project's private folder
MOST_TOKEN = 4096  # bytes


@dataclass(frozen=True)
class VolumeAddress:
    """Raises ValueError for what is no address."""

    url: str
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        try:
            url = URL(self.url)
        except InvalidURL:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise ValueError(
                f"{self.url!r} is no address of an nnInteractive server; give one as http://host:1527"
            )
        if url.userinfo:
            raise ValueError(
                f"an address holds no password; write the token of the server to private/{TOKEN_FILE} in the project"
            )

    @property
    def host(self) -> str:
        return URL(self.url).host

    @property
    def title(self) -> str:
        return f"nnInteractive at {self.host}"


def address_with_token(url: str, private: Path) -> VolumeAddress:
    """The token is one line of a file in the project's private folder; none where there is no such file. Raises
    ValueError."""
    try:
        with open(private / TOKEN_FILE, encoding="ascii") as file:
            token = file.read(MOST_TOKEN).strip()
    except FileNotFoundError:
        token = ""
    except (OSError, UnicodeDecodeError):
        raise ValueError(
            f"private/{TOKEN_FILE} cannot be read as one line of plain text; write it anew"
        ) from None
    if not token.isprintable() or " " in token:
        raise ValueError(f"private/{TOKEN_FILE} has to hold one line without spaces; write it anew")
    return VolumeAddress(url.rstrip("/"), token)
