"""Slicewise: label images and volumes in the browser, and the same without one.

python app.py                             open the demo project
python app.py DATA --project FOLDER       open a file or folder of images
python app.py COMMAND --help              import, export, status, user, link
"""

import argparse
import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotator.access.accounts import Accounts
    from annotator.jobs import Job
    from annotator.prompting.remote_encoders import EncoderPool
    from annotator.workflow import Workflow
    from storage.store import Store

# Idle torch threads must not spin: beside a learner a click would wait two to three times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

PROJECTS = Path("slicewise-projects")
DEMO = "demo"


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    first = arguments[0] if arguments else ""
    if first not in COMMANDS and first not in ("-h", "--help"):
        arguments = ["open", *arguments]
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        if os.environ.get("SLICEWISE_DEBUG"):
            raise
        print(f"slicewise: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="app.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Without a command, `open` is meant. Environment: SLICEWISE_DEBUG=1 shows tracebacks; "
        "SLICEWISE_WEIGHTS, SLICEWISE_MIRROR: see docs/guide/models.md.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (fill, run, help_line) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=help_line,
            description=run.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        fill(command)
        command.set_defaults(run=run)
    return top


# open


def fill_open(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "data",
        type=Path,
        nargs="?",
        help="a file or folder to import first; without it and without --project the demo",
    )
    command.add_argument("--project", type=Path, help="the project's folder; made where it is not there")
    command.add_argument("--labels", type=Path, help="a file or folder of masks of DATA, imported as labels")
    command.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; anything but this computer needs sign-in"
    )
    command.add_argument(
        "--port", type=int, default=7860, help="0 takes any free port; a busy one moves to the next"
    )
    command.add_argument(
        "--name", action="append", default=[], help="a further host name people use, as behind a proxy"
    )
    command.add_argument("--sign-in", action="store_true", help="ask for sign-in on this computer too")
    command.add_argument("--https", action="store_true", help="a proxy in front speaks https")
    command.add_argument("--certificate", type=Path, help="PEM certificate, to speak https without a proxy")
    command.add_argument("--certificate-key", type=Path, help="PEM key of the certificate")
    command.add_argument("--model", help="the prompt model to begin with; `status` lists them")
    command.add_argument("--checkpoint", type=Path, help="a SAM checkpoint on disk to prompt with")
    command.add_argument(
        "--no-fill", action="store_true", help="propose nothing: no fills of volumes, no learning"
    )
    command.add_argument("--no-learn", action="store_true", help="do not train in the background")
    fill_engine(command, "process")
    command.add_argument(
        "--no-download",
        action="store_true",
        help="fetch no SAM checkpoint by itself; SLICEWISE_OFFLINE=1 says the same",
    )
    command.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def run_open(options: argparse.Namespace) -> int:
    """Open a project in the browser, importing DATA first."""
    if options.data is not None and not options.data.exists():
        raise FileNotFoundError(f"{options.data} does not exist; give a file or a folder of images")
    from annotator.server import serve
    from annotator.server_settings import ServerSettings
    from learners.engines import make_encoders

    settings = ServerSettings(
        host=options.host,
        port=options.port,
        names=tuple(options.name),
        require_sign_in=options.sign_in,
        https=options.https,
        certificate=options.certificate,
        certificate_key=options.certificate_key,
        open_browser=not options.no_browser,
        fill=not options.no_fill,
        learn=not options.no_learn,
        download=not options.no_download,
        engine=options.engine,
        ray_address=options.ray_address,
    )
    encoders = make_encoders(options.engine, options.ray_address)
    workflow = open_workflow(project_of(options), options.model, options.checkpoint, encoders)
    try:
        if options.data is None and options.project is None:
            _fill_demo(workflow.store)
        serve(workflow, settings, data=options.data, labels=options.labels)
    finally:
        workflow.close()
    return 0


# import


def fill_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", type=Path, help="a file or folder of images or volumes")
    command.add_argument("--project", type=Path, help="the project's folder; made where it is not there")
    command.add_argument("--labels", type=Path, help="a file or folder of masks of DATA, imported as labels")
    command.add_argument(
        "--objects", action="store_true", help="mask values number objects of one class, not classes"
    )


def run_import(options: argparse.Namespace) -> int:
    """Import images, and masks as labels, without a browser. Bad files are reported one line each and skipped."""
    from annotator.exchange.import_images import import_path
    from storage.store import Store

    if not options.data.exists():
        raise FileNotFoundError(f"{options.data} does not exist; give a file or a folder of images")
    job, store = terminal_job("import"), Store(project_of(options))
    try:
        report = import_path(store, options.data, job, labels=options.labels, objects=options.objects or None)
    finally:
        store.close()
    print(*(f"refused: {line}" for line in report.refused), sep="\n", file=sys.stderr)
    print(f"{len(report.added)} imported into {store.root}, {len(report.refused)} refused")
    return 0 if report.added or not report.refused else 1


# tag


def fill_tag(command: argparse.ArgumentParser) -> None:
    command.add_argument("project", type=Path, help="the project's folder")
    command.add_argument(
        "--csv", type=Path, required=True, help="a table with the columns image,class,present[,slice]"
    )


def run_tag(options: argparse.Namespace) -> int:
    """Import tags: which classes are on which images or slices. Rows that make no sense are said and skipped."""
    from annotator.exchange.import_tags import import_tags
    from storage.store import Store

    for path, what in ((options.project / "project.db", "a project"), (options.csv, "a CSV file")):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; give {what}")
    store = Store(options.project)
    try:
        report = import_tags(store, options.csv)
    finally:
        store.close()
    print(*(f"refused: {line}" for line in report.refused), sep="\n", file=sys.stderr)
    print(f"{report.tagged} tags imported into {options.project}, {len(report.refused)} rows refused")
    return 0 if report.tagged or not report.refused else 1


# export


def fill_groups(command: argparse.ArgumentParser) -> None:
    command.add_argument("csv", type=Path, help="columns image (or file) and group")
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--column", default="group", help="the column that names the group")


def run_groups(options: argparse.Namespace) -> int:
    """Say which site, stain or scanner images come from. Rows that make no sense are said and skipped."""
    from annotator.learning.image_groups import import_groups
    from storage.store import Store

    if not (options.project / "project.db").exists():
        raise FileNotFoundError(f"{options.project} is not a project; import images into it first")
    store = Store(options.project)
    try:
        report = import_groups(store, options.csv, options.column)
    finally:
        store.close()
    for line in report.refused:
        print(line, file=sys.stderr)
    print(f"{report.said} images have a group now, {len(report.refused)} rows refused")
    return 0 if report.said or not report.refused else 1


def fill_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", type=Path, help="a folder or a .zip file to make")
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument(
        "--format", action="append", choices=["nifti", "png", "coco"], help="default: all that fit"
    )
    command.add_argument("--ignore", type=int, help="value for voxels that nobody labelled (0 without it)")
    command.add_argument("--image", type=int, action="append", help="only this image number; may be repeated")


def run_export(options: argparse.Namespace) -> int:
    """Write masks in the images' own geometry, COCO JSON and their provenance. Works while the project is open."""
    from annotator.exchange.export_labels import ExportRequest, export
    from storage.store import Store

    images = tuple(options.image) if options.image else None
    request = ExportRequest(tuple(options.format or ("nifti", "png", "coco")), options.ignore, images)
    job, store = terminal_job("export"), Store.read_only(options.project)
    try:
        path = export(store, options.target, request, job)
    finally:
        store.close()
    print(f"exported to {path}")
    return 0


# status


def fill_status(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--json", action="store_true", help="as JSON, for scripts")


def run_status(options: argparse.Namespace) -> int:
    """What a project holds and how far its labels are. Works while the project is open."""
    from annotator.prompting.service import list_models
    from storage.store import Store

    store = Store.read_only(options.project)
    try:
        total, rows = store.images(limit=-1)
        counts = store.slice_counts([row.id for row in rows])
        facts = {
            "project": str(store.root),
            "images": total,
            "classes": [c.name for c in store.classes()],
            "newest_label": store.newest_label(),
            "images_labelled": sum(1 for labelled, _, _ in counts.values() if labelled),
            "slices_labelled": sum(labelled for labelled, _, _ in counts.values()),
            "slices_complete": sum(complete for _, complete, _ in counts.values()),
            "models": {m["name"]: m["state"] for m in list_models()},
        }
    finally:
        store.close()
    print(
        json.dumps(facts, indent=2)
        if options.json
        else "\n".join(f"{k}: {_plain(v)}" for k, v in facts.items())
    )
    return 0


# learn


def fill_engine(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--engine", choices=["process", "serial", "ray"], default=default, help="where rounds run"
    )
    command.add_argument("--ray-address", help="of a Ray cluster; without it Ray runs on this computer")


def fill_train(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--learner", help="a learner of docs/guide/learning.md; without it the app chooses")
    command.add_argument("--seconds", type=float, default=120.0, help="how long to train")
    command.add_argument(
        "--network", default="auto", help="a network of models/networks.py; auto fits the machine"
    )
    command.add_argument(
        "--adapt", default="", help="to each group of images: an adapter of docs/guide/learning.md, or auto"
    )
    command.add_argument(
        "--reference",
        type=int,
        action="append",
        default=[],
        help="number of an image that reference segmentation learns from; may be given more than once",
    )
    fill_engine(command, "serial")


def run_train(options: argparse.Namespace) -> int:
    """Train on everything that is labelled and propose labels for the rest, without a browser."""
    from annotator.learning.commands import TrainOptions, train
    from learners.engines import make_engine

    wish = TrainOptions(
        options.learner, options.seconds, options.network, options.adapt, tuple(options.reference)
    )
    engine = make_engine(options.engine, options.ray_address)
    for status in train(options.project, wish, _show_round, engine):
        dice = "none held out" if status["dice"] is None else f"{status['dice']:.3f}"
        print(f"{status['learner']}: {status['state']}, held-out Dice {dice}. {status.get('message') or ''}")
    return 0


def fill_tune(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--steps", type=int, default=300, help="how long to train; 300 take some minutes")


def run_tune(options: argparse.Namespace) -> int:
    """Tune the built-in prompt model on the project's masks; it is kept where it saves clicks on held-out ones."""
    from annotator.prompting.tuner import tune_project

    if options.steps < 1:
        raise ValueError(f"tuning takes at least one step, got {options.steps}")
    tuned = tune_project(options.project, lambda line: print(line, file=sys.stderr), steps=options.steps)
    print(tuned.message)
    return 0


def fill_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--learner", help="whose model; without it the newest")
    fill_engine(command, "serial")


def run_predict(options: argparse.Namespace) -> int:
    """Propose labels for every image that the model has not seen yet, such as new imports. Trains nothing."""
    from annotator.learning.commands import predict
    from learners.engines import make_engine

    engine = make_engine(options.engine, options.ray_address)
    images = predict(options.project, options.learner, _show_round, engine)
    for image in images:
        expected = "nothing found" if image["expected_dice"] is None else f"{image['expected_dice']:.2f}"
        print(f"{image['name']}: expected Dice {expected}")
    print(f"{len(images)} images predicted")
    return 0


def _show_round(message: dict) -> None:
    if message.get("t") == "round" and message.get("phase"):
        line = f"{message['learner']}: {message['phase']} {message.get('step') or ''}"
        print(f"\r{line:<60}", end="", file=sys.stderr)


def fill_rank(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--ranker", help="a ranker of docs/guide/learning.md; without it the app chooses")
    command.add_argument("--count", type=int, default=20, help="how many")
    command.add_argument("--json", action="store_true", help="as JSON, for scripts")


def run_rank(options: argparse.Namespace) -> int:
    """Say what to label next, and why."""
    from annotator.learning.commands import rank

    message = rank(options.project, options.ranker, options.count)
    if options.json:
        print(json.dumps(message, indent=2))
        return 0
    for item in message["items"]:
        print(f"{item['name']}, axis {item['axis']}, slice {item['index']}: {item['why']}")
    return 0


def fill_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", type=Path, help="an empty folder to write to, or an exported model to read"
    )
    command.add_argument("--project", type=Path, required=True, help="the project's folder")
    command.add_argument("--learner", required=True, help="whose model")


def run_export_model(options: argparse.Namespace) -> int:
    """Write a trained model: safetensors, ONNX, a card, and a script that predicts new files with it."""
    from annotator.learning.commands import take_model_out

    print(f"exported to {take_model_out(options.project, options.learner, options.folder).folder}")
    return 0


def run_import_model(options: argparse.Namespace) -> int:
    """Take an exported model in: it predicts at once, and the learner's next round starts from it."""
    from annotator.learning.commands import take_model_in

    number = take_model_in(options.project, options.learner, options.folder)
    print(f"taken in as round {number} of {options.learner}")
    return 0


# people


def fill_user(command: argparse.ArgumentParser) -> None:
    command.add_argument("act", choices=["add", "password", "remove", "list"], help="what to do")
    command.add_argument("name", nargs="?", help="who; not needed for list")
    command.add_argument("--project", type=Path, required=True, help="the project's folder")


def run_user(options: argparse.Namespace) -> int:
    """Who may sign in when the project is open to other computers. Takes effect at once, also while it is open."""
    accounts = _accounts(options.project)
    if options.act == "list":
        print("\n".join(accounts.names()) or "no users")
        return 0
    if not options.name:
        raise ValueError(f"say who: python app.py user {options.act} NAME --project {options.project}")
    if options.act == "remove":
        accounts.remove_user(options.name)
    elif options.act == "password":
        accounts.set_password(options.name, _new_password())
    else:
        accounts.add_user(options.name, _new_password())
    print(f"{options.name}: done")
    return 0


def fill_link(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="whom the link signs in")
    command.add_argument("--project", type=Path, required=True, help="the project's folder")


def run_link(options: argparse.Namespace) -> int:
    """Make a one-time link that signs somebody in; it works once, within a day."""
    token = _accounts(options.project).make_link(options.name)
    print(f"open this on the app's address, once, within a day: /login?token={token}")
    return 0


# helpers

FillParser = Callable[[argparse.ArgumentParser], None]
RunCommand = Callable[[argparse.Namespace], int]

COMMANDS: dict[str, tuple[FillParser, RunCommand, str]] = {
    "open": (fill_open, run_open, "open a project in the browser (the default)"),
    "import": (fill_import, run_import, "add images, and masks as labels, to a project"),
    "tag": (fill_tag, run_tag, "import tags: which classes are on which images"),
    "groups": (fill_groups, run_groups, "say which site, stain or scanner images come from"),
    "export": (fill_export, run_export, "write masks, COCO JSON and provenance"),
    "status": (fill_status, run_status, "say what a project holds"),
    "train": (fill_train, run_train, "train on what is labelled, propose the rest"),
    "tune": (fill_tune, run_tune, "tune the built-in prompt model on the project's masks"),
    "predict": (fill_predict, run_predict, "propose labels with the model as it is"),
    "rank": (fill_rank, run_rank, "say what to label next"),
    "export-model": (fill_model, run_export_model, "write a trained model with its card and script"),
    "import-model": (fill_model, run_import_model, "take an exported model in"),
    "user": (fill_user, run_user, "add, change, remove and list who may sign in"),
    "link": (fill_link, run_link, "make a one-time sign-in link"),
}


def terminal_job(kind: str) -> "Job":
    """A job whose progress is one line of the terminal; Ctrl+C ends it between two files."""
    from annotator.jobs import Job

    def show(job: Job) -> None:
        progress = job.progress
        line = f"{progress.phase} {progress.done}/{progress.total} {progress.message}"
        print(f"\r{line[:110]:<110}", end="", file=sys.stderr, flush=True)

    return Job(kind, show)


def project_of(options: argparse.Namespace) -> Path:
    """The folder asked for, else one named after the data."""
    if options.project is not None:
        return options.project.resolve()
    name = DEMO if options.data is None else options.data.resolve().stem or "data"
    return (PROJECTS / name).resolve()


def open_workflow(
    project: Path,
    model: str | None = None,
    checkpoint: Path | None = None,
    encoders: "EncoderPool | None" = None,
) -> "Workflow":
    """The project with everything that works on it; close() it."""
    from annotator.prompting.service import PromptService
    from annotator.workflow import Workflow
    from storage.store import Store

    store = Store(project)
    try:
        return Workflow(store, PromptService(store, model, checkpoint, encoders))
    except BaseException:
        store.close()
        raise


def _fill_demo(store: "Store") -> None:
    from annotator.exchange.demo_project import fill_demo

    if store.setting("demo") is None:  # a first start that was interrupted is completed at the next
        fill_demo(store, terminal_job("import"))
        print(file=sys.stderr)  # ends the line of progress
        store.set_setting("demo", "filled")


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


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} ({state})" for key, state in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main())
