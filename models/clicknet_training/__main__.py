"""Train the built-in prompt model: `python -m models.clicknet_training --data FOLDER --out FILE`."""

import argparse
import logging
from pathlib import Path

from models.clicknet_training.cache import open_cache
from models.clicknet_training.loop import TrainingPlan, schedule_for, train

STEPS = 10_000  # an hour and a half of one core


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.clicknet_training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the training sets")
    parser.add_argument(
        "--out", type=Path, required=True, help="checkpoint to write, e.g. build/clicknet/run.pt"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("build/clicknet/cache"), help="where pixels are cached"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"over all resumed runs ({STEPS})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of the network, on a processor")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; on a GPU in batches of 128")
    parser.add_argument("--resume", action="store_true", help="go on from --out")
    parser.add_argument(
        "--start", type=Path, help="train these shipped weights further, instead of random ones"
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    open_cache(given.data, given.cache)
    plan = TrainingPlan(
        cache=given.cache,
        out=given.out,
        steps=given.steps,
        seed=given.seed,
        threads=given.threads,
        workers=given.workers,
        device=given.device,
        start=given.start,
        schedule=schedule_for(given.device, given.start),
    )
    run = train(plan, resume=given.resume)
    logging.info("%d steps in %.1f minutes, written to %s", run.step, run.seconds / 60, given.out)


if __name__ == "__main__":
    main()
