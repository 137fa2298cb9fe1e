"""DICOM-SEG: one segment for each class, laid onto the series that the image came from."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pydicom

from annotator.exchange.export_report import version
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.dicom.originals import Originals
from storage.rows import ClassRow

CODED = "{} has no code, so DICOM-SEG calls it Tissue (SNOMED CT 85756007); its label is the class's name"


class SegWriter(Writer):
    """One segment for each class of an image; nothing of it is resampled."""

    type: ClassVar[str] = "BINARY"

    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._originals = Originals(folder, "DICOM-SEG")

    def write(self, image: LabelledImage) -> None:
        if (sources := self._originals.headers(image)) is None:
            return
        image.tell_unknown("DICOM-SEG")
        for row in image.classes:
            if row.id in image.present and row.code is None:
                image.tell(CODED.format(row.name))
        if image.instances is not None:
            image.tell("DICOM-SEG holds classes, so the numbers of its objects are not in it")
        data = self._segmentation(image, sources)
        data.save_as(self.folder.place(f"{image.name}.seg.dcm", image))

    def _segmentation(self, image: LabelledImage, sources: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
        import highdicom as hd

        frames = np.transpose(image.grid.to_source(image.known), (2, 1, 0))  # slice, row, column
        segments = np.zeros(256, np.uint8)
        segments[list(image.present)] = range(1, len(image.present) + 1)
        rows = {c.id: c for c in image.classes}
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=segments[frames],
            segmentation_type=self.type,
            segment_descriptions=[_description(n, rows[c]) for n, c in enumerate(image.present, start=1)],
            series_instance_uid=hd.UID(),
            series_number=300,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="Slicewise",
            manufacturer_model_name="Slicewise",
            software_versions=version(),
            device_serial_number="0",
        )


class LabelmapSegWriter(SegWriter):
    type = "LABELMAP"


def _description(number: int, row: ClassRow) -> Any:
    import highdicom as hd
    from pydicom.sr.coding import Code

    tissue = Code("85756007", "SCT", "Tissue")
    code = Code(row.code.value, row.code.scheme, row.code.meaning) if row.code else tissue
    red, green, blue = (int(row.color[n : n + 2], 16) for n in (1, 3, 5))
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=row.name[:64],  # as long as DICOM lets it be
        segmented_property_category=tissue,
        segmented_property_type=code,
        algorithm_type="MANUAL",
        display_color=hd.color.CIELabColor.from_rgb(red, green, blue),
    )
