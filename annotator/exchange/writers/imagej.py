"""ImageJ's regions of interest, one zip for each image: classes by name and colour, slices by position."""

from annotator.exchange.writers.contract import LabelledImage, Writer
from annotator.exchange.writers.planes import PlaneObject, planes_of, tell_unknown_planes
from annotator.exchange.writers.qupath import TURNED, in_file_order
from storage.formats.shapes.outlines import one_path

WIDEST = 60535  # pixels, by ImageJ's 16 bits for a place


class ImageJWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        from roifile import ROI_TYPE, ImagejRoi, roiwrite

        if image.kind == "volume" and not in_file_order(image.grid):
            image.tell(TURNED.format("ImageJ"))
            return
        if max(image.row.shape) > WIDEST:
            image.tell(f"ImageJ's regions end at {WIDEST:,} pixels, so it got none")
            return
        tell_unknown_planes(image, "ImageJ")
        rows = {c.id: c for c in image.classes}
        regions: list[ImagejRoi] = []
        for plane in planes_of(image):
            for one in plane.objects():
                row = rows[one.class_id]
                region = ImagejRoi.frompoints(
                    _path(one), name=f"{row.name} {len(regions) + 1:04}", position=plane.slice
                )
                region.roitype = ROI_TYPE.TRACED
                region.stroke_color = bytes.fromhex("ff" + row.color[1:])
                regions.append(region)
        if regions:
            roiwrite(self.folder.place(f"{image.name}_rois.zip", image), regions)
        else:
            image.tell("it holds no object, and ImageJ's zip cannot be empty")


def _path(one: PlaneObject) -> list[list[int]]:
    """One closed path, that goes to holes and parts and back: ImageJ's mask of it is the object."""
    path: list[list[int]] = one_path(one.outlines()).tolist()
    return path
