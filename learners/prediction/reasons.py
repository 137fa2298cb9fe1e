"""Why a prediction is withheld from people; `sensible` judges. No torch here."""

from typing import Literal

# unreadable: it cannot be predicted; unlearnt: the model misses even most of what it was taught; everywhere: objects
# nearly fill it; unlike: a kind of image that nobody labelled; outside: objects are as bright, or lie where, none was
# drawn
Reason = Literal["unreadable", "unlearnt", "everywhere", "unlike", "outside"]
