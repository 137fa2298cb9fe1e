"""Functions that are named now and imported when they are called, so that a registry loads no torch."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class LazyFunction:
    """The function of this name, as "package.module:function"; calling a wrong one raises ImportError."""

    name: str

    def __call__(self, *given: Any) -> Any:
        return resolve_name(self.name)(*given)
