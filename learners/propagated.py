"""Supervised training that also believes what was propagated from slice to slice, the less the longer it did.

The one-network form of DeSCO (learners.desco): its dense-to-sparse trust without its second network, for when seconds
count.
"""

from learners.supervised import mix
from learners.trainer import Recipe


def make() -> Recipe:
    return Recipe(mix=mix, fills=True)
