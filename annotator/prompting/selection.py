"""Which prompt model a project uses, as its settings say it: what rounds in a worker are told by name and path."""

from pathlib import Path

from annotator.prompting.tuned_model import adapter_of
from models import BUILT_IN, GIVEN, REMOTE, TUNED, PromptChoice
from storage.store import Store

NAME, FILE = "prompt_model", "prompt_file"  # settings


def chosen_name(store: Store) -> str:
    """What people chose last, wherever it answers."""
    return store.setting(NAME) or BUILT_IN


def prompt_choice(store: Store) -> PromptChoice:
    """What was chosen last; the built-in model where nothing was, and where another server answers."""
    name = chosen_name(store)
    if name == REMOTE:
        return PromptChoice()
    if name == TUNED:
        return PromptChoice(name, adapter_of(store))
    given = store.setting(FILE) if name == GIVEN else None
    return PromptChoice(name, Path(given) if given else None)


def keep_choice(store: Store, name: str, checkpoint: Path | None) -> None:
    """`checkpoint`: the file of a model that is given by its path."""
    if checkpoint is not None:  # before the name, which says that there is one
        store.set_setting(FILE, str(checkpoint.absolute()))
    store.set_setting(NAME, name)
