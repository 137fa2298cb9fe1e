"""Prompt models behind one seam. Importing this loads no torch: a factory imports what it needs when it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.lazy import LazyFunction
from models.prompt import PromptModel

BUILT_IN = "builtin"  # needs nothing and answers at once: also the stand-in where another cannot
TUNED = "tuned"  # the built-in model as it was tuned on a project's labels
REMOTE = "nninteractive"  # another server's, for volumes; never opened here
GIVEN = "file"  # a checkpoint of the SAM family given by its path


@dataclass(frozen=True)
class PromptChoice:
    """Which prompt model a project uses, as it travels to workers: by name and path."""

    name: str = BUILT_IN
    file: Path | None = None  # of one that is the project's own: a given checkpoint, tuned layers


@dataclass(frozen=True)
class PromptModelEntry:
    """A prompt model that can be chosen."""

    title: str
    good_at: str
    factory: Callable[[Path | None], PromptModel]  # takes the checkpoint's path where `weights` names one
    weights: str | None = None  # its name in models.weights.CATALOGUE; None: needs no file
    packages: tuple[str, ...] = ()  # modules beyond requirements.txt
    instant: bool = False  # encoding costs next to nothing: call it in place, cache nothing


load_builtin = LazyFunction("models.builtin:load_builtin")
load_graphcut = LazyFunction("models.graphcut.model:load_graphcut")
load_tuned = LazyFunction("models.builtin:load_tuned")
load_sam = LazyFunction("models.sam.model:load_sam")
load_sam2 = LazyFunction("models.sam.sam2:load_sam2")

PROMPT_MODELS: dict[str, PromptModelEntry] = {
    "builtin": PromptModelEntry(
        title="Built-in",
        good_at="cells, nuclei, organs, surfaces and everyday objects; answers at once, on any machine",
        factory=load_builtin,
        instant=True,
    ),
    "graphcut": PromptModelEntry(
        title="Graph cut (nothing to download)",
        good_at="blobs, cells, organs and phases that differ from their surroundings",
        factory=load_graphcut,
        instant=True,
    ),
    "mobile_sam": PromptModelEntry(
        title="MobileSAM (41 MB)",
        good_at="objects in photographs and clear structures; the fastest SAM on a laptop",
        factory=load_sam,
        weights="mobile_sam",
    ),
    "sam_vit_b": PromptModelEntry(
        title="SAM ViT-B (375 MB)",
        good_at="objects in photographs, sharper than MobileSAM; half a minute a slice without a GPU",
        factory=load_sam,
        weights="sam_vit_b",
    ),
    "sam_vit_l": PromptModelEntry(
        title="SAM ViT-L (1.2 GB)",
        good_at="objects in photographs; best with a GPU",
        factory=load_sam,
        weights="sam_vit_l",
    ),
    "sam_vit_h": PromptModelEntry(
        title="SAM ViT-H (2.6 GB)",
        good_at="objects in photographs; the most accurate SAM 1; best with a GPU",
        factory=load_sam,
        weights="sam_vit_h",
    ),
    "medsam": PromptModelEntry(
        title="MedSAM ViT-B (your file)",
        good_at="organs and lesions in CT, MRI and ultrasound, from a box",
        factory=load_sam,
        weights="medsam",
    ),
    "microsam_vit_b_lm": PromptModelEntry(
        title="micro-sam ViT-B, light microscopy (your file)",
        good_at="cells and nuclei in light microscopy",
        factory=load_sam,
        weights="microsam_vit_b_lm",
    ),
    "sam2.1_tiny": PromptModelEntry(
        title="SAM 2.1 tiny (your folder)",
        good_at="objects in photographs; not tested with trained weights",
        factory=load_sam2,
        weights="sam2.1_tiny",
        packages=("transformers",),
    ),
    "edgetam": PromptModelEntry(
        title="EdgeTAM (your folder)",
        good_at="objects in photographs, faster than SAM 2.1; not tested with trained weights",
        factory=load_sam2,
        weights="edgetam",
        packages=("transformers", "timm"),
    ),
}


# What is no entry of the registry, because it is one project's: name -> from its file.
OWN_FILES: dict[str, Callable[[Path], PromptModel]] = {GIVEN: load_sam, TUNED: load_tuned}


@dataclass(frozen=True)
class AnsweringModel:
    """The prompt model that answers."""

    name: str
    model: PromptModel
    why: str = ""  # why it is not the one that was asked for, for a person


def on_this_machine(choice: PromptChoice) -> AnsweringModel:
    """The prompt model that was chosen; where it is not here or cannot be opened the built-in one, and why."""
    try:
        return AnsweringModel(choice.name, opened(choice))
    except (OSError, ValueError, LookupError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        why = f"{reason}, so the built-in model answered"
        return AnsweringModel(BUILT_IN, PROMPT_MODELS[BUILT_IN].factory(None), why)


def opened(choice: PromptChoice) -> PromptModel:
    """Raises OSError, ValueError, LookupError or ImportError with a sentence where it cannot be had."""
    from models.weights import CATALOGUE, find

    name, file = choice.name, choice.file
    if name in OWN_FILES:
        if file is None or not file.is_file():
            what = "the prompt model's file" if file is None else file.name
            raise FileNotFoundError(f"{what} is not on this machine")
        return OWN_FILES[name](file)
    if name not in PROMPT_MODELS:
        raise LookupError(f"there is no prompt model {name!r}")
    entry = PROMPT_MODELS[name]
    path = find(CATALOGUE[entry.weights]) if entry.weights else None
    if entry.weights and path is None:
        raise FileNotFoundError(f"{entry.title} is not on this machine")
    return entry.factory(path)
