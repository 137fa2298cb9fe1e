"""`open`: the project in the browser."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.cli.already_open import show_open_project
from annotator.cli.common import (
    DEMO,
    Options,
    Parser,
    add_data,
    check_data,
    check_example,
    project_of,
    terminal_job,
)
from annotator.cli.learn import fill_engine
from annotator.text import sentence

if TYPE_CHECKING:
    from annotator.prompting.remote_encoders import EncoderPool
    from annotator.prompting.volumes.server import VolumeServer
    from annotator.prompting.workers.prompt_workers import PromptWorkers
    from annotator.server_settings import ServerSettings
    from annotator.workflow import Workflow
    from storage.store import Store

OPENS_ANEW = "browsing and exporting work, and it is opened for changes by itself"
FULL = f"the disk of this project is full, so nothing can be changed: {OPENS_ANEW} once some space is free"
UNWRITABLE = (
    f"this project cannot be written, so nothing can be changed: {OPENS_ANEW} once its folder is writable"
)
LOOK_ASKED = (
    "this project was opened with --look, so nothing can be changed: browsing and exporting work; "
    "start it without --look to change it"
)


def fill_open(command: Parser) -> None:
    add_data(command, required=False)
    _add_address(command)
    command.add_argument("--example", help="pictures to try the app with: demo, cells or gallery")
    command.add_argument("--model", help="the prompt model to start with; the command status lists them")
    command.add_argument("--checkpoint", type=Path, help="a SAM checkpoint file to prompt with")
    command.add_argument("--no-fill", action="store_true", help="propose nothing: no fills and no learning")
    command.add_argument("--no-learn", action="store_true", help="do not train in the background")
    fill_engine(command, "process")
    command.add_argument(
        "--no-download",
        action="store_true",
        help="do not download a SAM checkpoint; SLICEWISE_OFFLINE=1 does the same",
    )
    command.add_argument(
        "--no-snapshots", action="store_true", help="make no snapshot of the project at night"
    )
    command.add_argument(
        "--look", action="store_true", help="only look: browse and export, and change nothing in the project"
    )
    command.add_argument(
        "--prompt-workers",
        type=int,
        metavar="N",
        help="processes that answer clicks; where left out one a processor, at most 8 and as memory allows; 0: in the "
        "server",
    )
    command.add_argument(
        "--serve",
        default="",
        metavar="TOOLS",
        help="other tools that may work on the project, as monai,nninteractive; see docs/guide/other_tools.md",
    )
    command.add_argument(
        "--nninteractive",
        metavar="ADDRESS",
        help="a server of nnInteractive as a further prompt model for volumes, as http://host:1527; see "
        "docs/guide/other_tools.md",
    )
    command.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def _add_address(command: Parser) -> None:
    """Where the server listens and who gets in."""
    command.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; people on other computers must sign in"
    )
    command.add_argument(
        "--port", type=int, default=7860, help="if it is taken, the next free one is used; 0 means any"
    )
    command.add_argument(
        "--name", action="append", default=[], help="another host name that people use, as behind a proxy"
    )
    command.add_argument(
        "--root-path",
        default="",
        metavar="PREFIX",
        help="where a reverse proxy puts the app, such as /label; see docs/guide/security.md",
    )
    command.add_argument("--sign-in", action="store_true", help="people on this computer must sign in too")
    command.add_argument("--https", action="store_true", help="a proxy in front of the app speaks https")
    command.add_argument("--certificate", type=Path, help="PEM certificate, for https without a proxy")
    command.add_argument("--certificate-key", type=Path, help="PEM key of the certificate")


def run_open(options: Options) -> int:
    """Open a project in the browser, and import DATA into it first."""
    check_data(options.data)
    if options.example:
        check_example(options.example)
    from annotator.prompting.workers.prompt_workers import make_prompt_workers
    from learners.engines import make_encoders
    from storage.lock import ProjectBusy

    settings: ServerSettings | None = _server_settings(options)
    while settings is not None:
        encoders = make_encoders(options.engine, options.ray_address)
        workers = make_prompt_workers(options.prompt_workers, options.engine, options.ray_address)
        models = options.model, options.checkpoint, encoders, workers
        try:
            workflow = open_workflow(
                project_of(options), *models, look=settings.look, nninteractive=options.nninteractive
            )
        except ProjectBusy as busy:
            return show_open_project(busy, options.data, browser=settings.open_browser)
        try:
            settings = _serve(workflow, settings, options)
        finally:
            workflow.close()
    return 0


def _serve(workflow: "Workflow", settings: "ServerSettings", options: Options) -> "ServerSettings | None":
    """Until somebody stops it; how to go on where a project that was only looked at can be written now."""
    from annotator.scenes.first_import import FirstImport
    from annotator.server import serve

    store = workflow.store
    tempfile.tempdir = str(store.workplace) if store.looking else None  # the usual folder may be full as well
    if store.looking:
        print(sentence(store.looking), flush=True)
        if options.data is not None:
            print(f"{options.data} was not imported; import it when the project can be written.", flush=True)
    elif options.example or (options.data is None and options.project is None):
        _fill_example(store, options.example or DEMO)
    first = FirstImport(options.data, options.labels, options.scene) if options.data else None
    port = serve(workflow, settings, first=first)
    return replace(settings, port=port, open_browser=False) if port else None


def _server_settings(options: Options) -> "ServerSettings":
    from annotator.server_settings import ServerSettings

    return ServerSettings(
        host=options.host,
        port=options.port,
        names=tuple(options.name),
        root_path=options.root_path.rstrip("/"),
        require_sign_in=options.sign_in,
        https=options.https,
        certificate=options.certificate,
        certificate_key=options.certificate_key,
        open_browser=not options.no_browser,
        fill=not options.no_fill,
        learn=not options.no_learn,
        download=not options.no_download,
        look=options.look,
        serve=tuple(name.strip() for name in options.serve.split(",") if name.strip()),
        snapshots=not options.no_snapshots,
        engine=options.engine,
        ray_address=options.ray_address,
    )


def open_workflow(
    project: Path,
    model: str | None = None,
    checkpoint: Path | None = None,
    encoders: "EncoderPool | None" = None,
    workers: "PromptWorkers | None" = None,
    *,
    look: bool = False,
    nninteractive: str | None = None,
) -> "Workflow":
    """The project with everything that works on it; close() it. It is only looked at where somebody asked for that,
    and where it is there and cannot be written. `nninteractive`: the address of a server for volumes."""
    from annotator.prompting.service import PromptService
    from annotator.workflow import Workflow

    store = _opened_store(project, look=look)
    try:
        server = None if nninteractive is None or store.looking else _volume_server(store, nninteractive)
        return Workflow(store, PromptService(store, model, checkpoint, encoders, workers, server))
    except BaseException:
        store.close()
        raise


def _volume_server(store: "Store", url: str) -> "VolumeServer":
    """Raises ValueError for what is no address."""
    from annotator.access.private_folder import private_folder
    from annotator.prompting.volumes.address import address_with_token
    from annotator.prompting.volumes.server import VolumeServer

    return VolumeServer(address_with_token(url, private_folder(store)))


def _opened_store(project: Path, *, look: bool) -> "Store":
    from storage.database import ProjectUnwritable, StorageFull
    from storage.store import Store

    if look:
        return Store.read_only(project, LOOK_ASKED)
    try:
        return Store(project)
    except StorageFull as error:
        return _looked_at(project, FULL, error)
    except ProjectUnwritable as error:
        return _looked_at(project, UNWRITABLE, error)


def _looked_at(project: Path, why: str, error: OSError) -> "Store":
    from storage.store import Store

    if not (project / "project.db").exists():
        raise error
    return Store.read_only(project, why)


def _fill_example(store: "Store", name: str) -> None:
    from annotator.exchange.examples import fill_example

    if store.setting(name) is None:  # a first start that was interrupted is completed at the next
        fill_example(store, name, terminal_job("import"))
        print(file=sys.stderr)  # ends the line of progress
        store.set_setting(name, "filled")
