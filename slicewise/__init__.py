"""Slicewise in a notebook or a script: open a project, and work on its images and labels as arrays."""

from slicewise.image import ProjectImage
from slicewise.project import Learned, Project, ProposedImage, Suggestion
from slicewise.project import open_project as open
from storage.arrays import BACKGROUND, UNLABELLED

__all__ = [
    "BACKGROUND",
    "UNLABELLED",
    "Learned",
    "Project",
    "ProjectImage",
    "ProposedImage",
    "Suggestion",
    "open",
]
