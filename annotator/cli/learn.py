"""`train`, `tune`, `predict`, `rank`, `export-model` and `import-model`: learning without a browser."""

import json
import sys
from pathlib import Path
from typing import Any

from annotator.cli.common import Options, Parser, require_project


def fill_engine(command: Parser, default: str) -> None:
    command.add_argument(
        "--engine", choices=["process", "serial", "ray"], default=default, help="where training runs"
    )
    command.add_argument(
        "--ray-address", help="address of a Ray cluster; without it Ray runs on this computer"
    )


def fill_train(command: Parser) -> None:
    require_project(command)
    command.add_argument("--learner", help="a learner of docs/guide/learning.md; without it the app chooses")
    command.add_argument(
        "--seconds",
        type=float,
        help="how long to train: 120 by itself, 28800 (eight hours) for a final model",
    )
    command.add_argument(
        "--final",
        action="store_true",
        help="train the final model; stop it with Ctrl+C, and the same command goes on",
    )
    command.add_argument(
        "--folds", type=int, help="networks of a final model, each trained without a part of the images; 1"
    )
    command.add_argument(
        "--network", default="auto", help="a network of models/networks.py; auto fits the machine"
    )
    command.add_argument(
        "--adapt", default="", help="an adapter of docs/guide/learning.md for each group of images, or auto"
    )
    command.add_argument(
        "--reference",
        type=int,
        action="append",
        default=[],
        help="number of an image that reference segmentation learns from; may be repeated",
    )
    fill_engine(command, "serial")


def run_train(options: Options) -> int:
    """Train on all labels and propose labels for all other images. With --final a long training, of which a kill costs
    a minute at most."""
    from annotator.learning.commands import TrainOptions, train
    from learners.engines import make_engine

    if options.final:
        return _train_final(options)
    if options.folds is not None:
        raise ValueError("--folds belongs to a final model; say --final with it")
    seconds = 120.0 if options.seconds is None else options.seconds
    how = TrainOptions(options.learner, seconds, options.network, options.adapt, tuple(options.reference))
    engine = make_engine(options.engine, options.ray_address)
    for status in train(options.project, how, _show_round, engine):
        dice = "not known" if status["dice"] is None else f"{status['dice']:.3f}"
        print(f"{status['learner']}: {status['state']}, held-out Dice {dice}. {status.get('message') or ''}")
    return 0


def _train_final(options: Options) -> int:
    """In a process of its own, so that this one can tell how far it is and be stopped."""
    from annotator.learning.commands import train_final
    from annotator.learning.final.model import FinalOptions
    from learners.engines import make_engine

    if options.adapt or options.reference:
        raise ValueError("a final model takes neither --adapt nor --reference; leave them out")
    given = {"seconds": options.seconds, "folds": options.folds, "recipe": options.learner}
    asked = FinalOptions(**{k: v for k, v in given.items() if v is not None}, network=options.network)
    engine = make_engine("process" if options.engine == "serial" else options.engine, options.ray_address)
    ended = train_final(options.project, asked, _show_round, engine)
    dice = "none held out" if ended["dice"] is None else f"{ended['dice']:.3f}"
    print(f"\n{ended['learner']}: {ended['state']}, held-out Dice {dice}. {ended.get('message') or ''}")
    return 0 if ended["state"] == "idle" else 1


def fill_tune(command: Parser) -> None:
    require_project(command)
    command.add_argument("--steps", type=int, default=300, help="steps of training; 300 take some minutes")


def run_tune(options: Options) -> int:
    """Tune the built-in prompt model on this project's masks. The app keeps the result if held-out masks then need
    fewer clicks."""
    from annotator.prompting.tuner import tune_project

    if options.steps < 1:
        raise ValueError(f"tuning takes at least one step, got {options.steps}")
    tuned = tune_project(options.project, lambda line: print(line, file=sys.stderr), steps=options.steps)
    print(tuned.message)
    return 0


def fill_predict(command: Parser) -> None:
    require_project(command)
    command.add_argument("--learner", help="the learner whose model predicts; without it the newest model")
    fill_engine(command, "serial")


def run_predict(options: Options) -> int:
    """Propose labels for every image that the model has not seen, such as new imports. Trains nothing."""
    from annotator.learning.commands import predict
    from learners.engines import make_engine

    engine = make_engine(options.engine, options.ray_address)
    images = predict(options.project, options.learner, _show_round, engine)
    for image in images:
        print(f"{image['name']}: {_expected(image['expected_dice'])}")
    print(f"{len(images)} images predicted")
    return 0


def _expected(told: list[float] | None) -> str:
    if told is None:
        return "predicted; too few images are held out or corrected to say how well"
    return f"expected Dice {told[0]:.2f} to {told[1]:.2f}"


def _show_round(message: dict[str, Any]) -> None:
    if message.get("t") == "round" and message.get("phase"):
        line = f"{message['learner']}: {message['phase']} {message.get('step') or ''}"
        if message.get("seconds_left") is not None:
            from learners.text import duration  # its package loads NumPy

            line += f", {duration(message['seconds_left'])} left"
        print(f"\r{line:<60}", end="", file=sys.stderr)


def fill_rank(command: Parser) -> None:
    require_project(command)
    command.add_argument("--ranker", help="a ranker of docs/guide/learning.md; without it the app chooses")
    command.add_argument("--count", type=int, default=20, help="how many images or slices")
    command.add_argument("--json", action="store_true", help="print JSON, for scripts")


def run_rank(options: Options) -> int:
    """List what to label next, and why."""
    from annotator.learning.commands import rank

    ranking = rank(options.project, options.ranker, options.count)
    if ranking.asked and ranking.asked != ranking.ranker:
        no_model = f"{ranking.asked} needs the predictions of a model, and there are none yet"
        print(f"{no_model}, so {ranking.ranker} answers instead.", file=sys.stderr)
    if options.json:
        print(json.dumps(ranking.queue, indent=2))
        return 0
    seen = f"the predictions of {ranking.learner}" if ranking.learner else "what the images look like"
    print(f"ranked by {ranking.ranker}, from {seen}")
    for item in ranking.queue["items"]:
        print(f"{item['name']}, axis {item['axis']}, slice {item['index']}: {item['why']}")
    return 0


def fill_model(command: Parser) -> None:
    command.add_argument("folder", type=Path, help="an empty folder to export to, or an exported model")
    require_project(command)
    command.add_argument("--learner", required=True, help="the learner whose model it is")


def fill_export_model(command: Parser) -> None:
    fill_model(command)
    command.add_argument(
        "--bundle", action="store_true", help="as a MONAI bundle, which `python -m monai.bundle run` runs"
    )


def run_export_model(options: Options) -> int:
    """Export a trained model: safetensors, ONNX, a card, and a script that segments new files with it."""
    from annotator.learning.commands import take_model_out

    taken = take_model_out(options.project, options.learner, options.folder, bundle=options.bundle)
    print(f"exported to {taken.folder}")
    return 0


def run_import_model(options: Options) -> int:
    """Import an exported model. It can predict at once, and the learner's next training starts from it."""
    from annotator.learning.commands import take_model_in

    number = take_model_in(options.project, options.learner, options.folder)
    print(f"imported as round {number} of {options.learner}")
    return 0
