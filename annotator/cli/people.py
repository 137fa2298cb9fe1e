"""`user`, `link` and `metrics-token`: who may sign in, and which program reads the metrics."""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.cli.common import Options, Parser, require_project

if TYPE_CHECKING:
    from annotator.access.accounts import Accounts, User


def fill_user(command: Parser) -> None:
    command.add_argument(
        "act", choices=["add", "password", "administrator", "remove", "list"], help="what to do"
    )
    command.add_argument("name", nargs="?", help="the user's name; not needed for list")
    command.add_argument(
        "--administrator",
        action="store_true",
        help="of add: may read the metrics of the server and make backups",
    )
    command.add_argument("--off", action="store_true", help="of administrator: no longer one")
    require_project(command)


def run_user(options: Options) -> int:
    """Add, change, remove and list the people who may sign in. It takes effect at once, also while the project is
    open."""
    accounts = _accounts(options.project)
    if options.act == "list":
        print("\n".join(map(_line, accounts.users())) or "no users")
        return 0
    if not options.name:
        raise ValueError(f"give a name: python app.py user {options.act} NAME --project {options.project}")
    if options.act == "remove":
        accounts.remove_user(options.name)
    elif options.act == "password":
        accounts.set_password(options.name, _new_password())
    elif options.act == "administrator":
        accounts.set_administrator(options.name, not options.off)
    else:
        accounts.add_user(options.name, _new_password(), administrator=options.administrator)
    print(f"{options.name}: done")
    return 0


def fill_link(command: Parser) -> None:
    command.add_argument("name", help="the person whom the link signs in")
    require_project(command)


def run_link(options: Options) -> int:
    """Make a link that signs a person in. It works once, within a day."""
    token = _accounts(options.project).make_link(options.name)
    print(f"open this at the app's address, once, within a day: /login?token={token}")
    return 0


def fill_metrics_token(command: Parser) -> None:
    require_project(command)


def run_metrics_token(options: Options) -> int:
    """Make the token with which a program such as Prometheus reads /metrics. The one before it ends."""
    from annotator.access.metrics_token import MetricsToken

    _accounts(options.project)  # it is a project
    print(MetricsToken(options.project / "private").renew())
    return 0


def _line(user: "User") -> str:
    return f"{user.name} (administrator)" if user.administrator else user.name


def _accounts(project: Path) -> "Accounts":
    from annotator.access.accounts import Accounts

    if not project.is_dir():
        raise FileNotFoundError(
            f"{project} is not a project; open it once first: python app.py --project {project}"
        )
    return Accounts(project / "private")


def _new_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise ValueError("the two passwords differ; nothing was changed")
    return password
