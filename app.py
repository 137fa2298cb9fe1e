"""Slicewise: label images and volumes in the browser or from the command line.

python app.py                             open the demo project
python app.py DATA --project FOLDER       open a file or folder of images
python app.py COMMAND --help              the options of a command
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from annotator.cli.backup import (
    fill_backup,
    fill_check,
    fill_restore,
    run_backup,
    run_check,
    run_restore,
)
from annotator.cli.common import Command, HelpText
from annotator.cli.data import (
    fill_export,
    fill_groups,
    fill_status,
    fill_tag,
    run_export,
    run_groups,
    run_status,
    run_tag,
)
from annotator.cli.imports import fill_import, run_import
from annotator.cli.learn import (
    fill_export_model,
    fill_model,
    fill_predict,
    fill_rank,
    fill_train,
    fill_tune,
    run_export_model,
    run_import_model,
    run_predict,
    run_rank,
    run_train,
    run_tune,
)
from annotator.cli.open import fill_open, run_open
from annotator.cli.people import (
    fill_link,
    fill_metrics_token,
    fill_user,
    run_link,
    run_metrics_token,
    run_user,
)
from annotator.cli.repair import fill_repair, run_repair
from annotator.text import refusal

# Idle torch threads must not spin: beside a learner a click would wait two to three times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

INSTALLED = "slicewise"  # the command of pyproject.toml

COMMANDS = {
    "open": Command(fill_open, run_open, "open a project in the browser (the default)"),
    "import": Command(fill_import, run_import, "add images, and masks as labels, to a project"),
    "tag": Command(fill_tag, run_tag, "import tags: which classes are on which images"),
    "groups": Command(fill_groups, run_groups, "say which site, stain or scanner images come from"),
    "repair": Command(fill_repair, run_repair, "undo an import, delete or rename images, merge classes"),
    "export": Command(fill_export, run_export, "export masks, COCO JSON and provenance"),
    "status": Command(fill_status, run_status, "show what a project holds"),
    "backup": Command(fill_backup, run_backup, "write a project as one archive, also while it is open"),
    "restore": Command(fill_restore, run_restore, "make a project anew from a backup or a snapshot"),
    "check": Command(fill_check, run_check, "check every file of a project, and mend what can be mended"),
    "train": Command(fill_train, run_train, "train on the labels and propose the rest"),
    "tune": Command(fill_tune, run_tune, "tune the built-in prompt model on this project's masks"),
    "predict": Command(fill_predict, run_predict, "propose labels with a trained model"),
    "rank": Command(fill_rank, run_rank, "list what to label next"),
    "export-model": Command(
        fill_export_model, run_export_model, "export a trained model with its card and script"
    ),
    "import-model": Command(fill_model, run_import_model, "import an exported model"),
    "user": Command(fill_user, run_user, "add, change, remove and list the people who may sign in"),
    "metrics-token": Command(
        fill_metrics_token, run_metrics_token, "make the token with which a program reads /metrics"
    ),
    "link": Command(fill_link, run_link, "make a link that signs a person in once"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    first = arguments[0] if arguments else ""
    if first not in COMMANDS and first not in ("-h", "--help"):
        arguments = ["open", *arguments]
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        if os.environ.get("SLICEWISE_DEBUG"):
            raise
        print(f"slicewise: {refusal(error).replace('python app.py', called())}", file=sys.stderr)
        return 1


def called() -> str:
    """How people call this program: pip installs it as a command."""
    return INSTALLED if Path(sys.argv[0]).stem == INSTALLED else "python app.py"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=called().removeprefix("python "),
        description=__doc__.replace("python app.py", called()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Without a command, the app opens. Set SLICEWISE_DEBUG=1 to see tracebacks. "
        "docs/guide/models.md explains SLICEWISE_WEIGHTS and SLICEWISE_MIRROR.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, entry in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=entry.help,
            description=entry.run.__doc__,
            formatter_class=HelpText,
        )
        entry.fill(command)
        command.set_defaults(run=entry.run)
    return top


if __name__ == "__main__":
    sys.exit(main())
