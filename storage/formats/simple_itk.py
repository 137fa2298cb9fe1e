"""SimpleITK, loaded with the first file that needs it: it takes 90 MB of a server that may never meet one."""

from functools import cache
from types import ModuleType


@cache
def simple_itk() -> ModuleType:
    """Silent: its warnings would print paths and header values."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk
