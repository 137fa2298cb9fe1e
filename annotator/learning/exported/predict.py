"""python predict.py IN... OUT/: masks of image files and folders, as the app that trained this model makes them.

Needs what requirements.txt names. The folder slicewise/ beside this file holds the app's own code for it.
"""

import sys
from pathlib import Path


def run(here: Path) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  it must be able to say so on an old Python
        print("This needs Python 3.11 or newer.", file=sys.stderr)
        return 1
    sys.path.insert(0, str(here / "slicewise"))
    try:
        from annotator.learning.exported.program import main
    except ModuleNotFoundError as error:
        needed = here / "requirements.txt"
        print(f"The package {error.name} is missing; run: pip install -r {needed}", file=sys.stderr)
        return 1
    return main(sys.argv[1:], here)


if __name__ == "__main__":
    sys.exit(run(Path(__file__).resolve().parent))
