"""DICOM-SEG: segments of one series, each voxel laid where its frame lies. No message repeats a header."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.exchange.label_files.contract import FileClass, LabelFile, SaidOfImage
from annotator.exchange.label_files.dicom_kind import code_in, is_segmentation
from annotator.exchange.masks.value_names import clean_name
from learners.text import count_of
from storage.formats import FileRefused, Grid
from storage.formats.base import check_size
from storage.formats.laying import laid_into

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class DicomSegments(LabelFile):
    def __init__(self, path: Path, data: "Segmentation") -> None:
        super().__init__(path)
        self._data = data
        descriptions = [data.get_segment_description(n) for n in data.segment_numbers]
        self.classes = {
            int(one.segment_number): FileClass(
                clean_name(str(one.segment_label)) or "segment",
                _color(one),
                code_in(one, "SegmentedPropertyTypeCodeSequence"),
            )
            for one in descriptions
        }

    def series_uid(self) -> str:
        found = self._data.get("ReferencedSeriesSequence")
        return str(found[0].get("SeriesInstanceUID", "")) if found else ""

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        shared, values = 0, np.zeros(grid.display_shape, np.uint16)
        check_size((*grid.shape[:2], grid.shape[2] * max(1, len(self.classes))), 1)
        for number in self.classes:
            if (volume := self._segment(number)) is None:
                continue
            # slice, row, column with the patient's left, back, head -> column, row, slice
            affine = (LPS_TO_RAS @ volume.affine)[:, [2, 1, 0, 3]]
            where = laid_into(np.asarray(volume.array)[..., 0].T > 0, affine, grid)
            shared += int(np.count_nonzero(values[where]))
            values[where] = number
        note = f"{count_of(shared, 'voxel')} lie in two segments; the later segment has them"
        author = str(self._data.get("ContentCreatorName") or "")
        return SaidOfImage(values, notes=(note,) if shared else (), author=author)

    def _segment(self, number: int) -> Any:
        """highdicom's volume of one segment; None where it has no frame."""
        try:
            return self._data.get_volume(segment_numbers=[number], rescale_fractional=False)
        except (ValueError, RuntimeError) as error:
            if "no frames" in str(error).lower() or not self._has_frames(number):
                return None
            raise FileRefused("its frames do not lie on one straight grid; export it again") from None

    def _has_frames(self, number: int) -> bool:
        if self._data.segmentation_type.value == "LABELMAP":
            return bool((self._data.pixel_array == number).any())
        frames = self._data.PerFrameFunctionalGroupsSequence
        with contextlib.suppress(AttributeError):
            return any(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number for f in frames)
        return True


def open_segmentation(path: Path) -> DicomSegments | None:
    """None for DICOM of another kind."""
    if not is_segmentation(path):
        return None
    from highdicom.seg import segread

    data = segread(path)
    if data.segmentation_type.value == "FRACTIONAL":
        raise FileRefused("it holds probabilities, not segments; save it as a binary segmentation")
    if "PixelMeasuresSequence" not in data.SharedFunctionalGroupsSequence[0]:
        raise FileRefused("it does not say how large its voxels are")
    return DicomSegments(path, data)


def _color(description: Any) -> str | None:
    from highdicom.color import CIELabColor

    value: Sequence[int] | None = description.get("RecommendedDisplayCIELabValue")
    if value is None:
        return None
    red, green, blue = CIELabColor.from_dicom_value(value).to_rgb()
    return f"#{red:02x}{green:02x}{blue:02x}"
