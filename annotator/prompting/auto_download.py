"""The SAM checkpoint that is fetched by itself at the first start: behind the person, seen, stopped at a click."""

import logging
import os

from annotator.jobs import Job, Jobs
from annotator.machine import has_gpu
from annotator.prompting.service import PromptService
from models import PROMPT_MODELS
from models.weights import CATALOGUE, Weights, decline, declined

log = logging.getLogger(__name__)

ON_GPU, OTHERWISE = "sam_vit_b", "mobile_sam"
OFFLINE = "SLICEWISE_OFFLINE"  # set to anything: nothing is fetched that nobody asked for


def begin(jobs: Jobs, prompting: PromptService) -> Job | None:
    """Start the download where it is missing and nobody stopped it before; None where there is nothing to do. Without
    a network the job fails with a sentence on the model's card, and the next start tries again."""
    name = ON_GPU if has_gpu() else OTHERWISE
    state = {model["name"]: model["state"] for model in prompting.models()}
    weights = weights_of(name)
    if os.environ.get(OFFLINE) or weights is None or state.get(name) != "missing" or declined(weights):
        return None
    log.info("fetching %s, as at every first start; --no-download leaves it", name)
    return jobs.start("download", lambda job: prompting.download(name, job), model=name)


def stopped(job: Job) -> None:
    """A person stopped a download: it does not begin by itself again."""
    weights = weights_of(job.details.get("model", ""))
    if job.kind == "download" and weights is not None:
        decline(weights)


def weights_of(name: str) -> Weights | None:
    entry = PROMPT_MODELS.get(name)
    return CATALOGUE[entry.weights] if entry is not None and entry.weights else None
