"""GeoJSON for QuPath: objects with outlines along the edges of pixels, holes and parts, classes and colours."""

import json
from typing import Any

from annotator.exchange.writers.contract import LabelledImage, Writer
from annotator.exchange.writers.planes import LabelledPlane, PlaneObject, planes_of, tell_unknown_planes
from storage.arrays import write_bytes
from storage.formats.grid import PLAIN, Grid
from storage.rows import ClassRow

NUMBER = "Object number"
TURNED = "its slices are shown in another order than they lie in the file, so {} got none of it"


class QuPathWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        if image.kind == "volume" and not in_file_order(image.grid):
            image.tell(TURNED.format("QuPath"))
            return
        tell_unknown_planes(image, "QuPath")
        rows = {c.id: c for c in image.classes}
        features = [
            _feature(one, rows[one.class_id], plane) for plane in planes_of(image) for one in plane.objects()
        ]
        path = self.folder.place(f"{image.name}.geojson", image)
        write_bytes(path, json.dumps({"type": "FeatureCollection", "features": features}).encode())


def in_file_order(grid: Grid) -> bool:
    """Whether programs that know nothing of orientation show the same slices in the same order."""
    return grid.axes == PLAIN and not any(grid.flips)


def _feature(one: PlaneObject, row: ClassRow, plane: LabelledPlane) -> dict[str, Any]:
    parts = [[[*ring.tolist(), ring[0].tolist()] for ring in outline.rings] for outline in one.outlines()]
    single = len(parts) == 1
    geometry: dict[str, Any] = {"type": "Polygon" if single else "MultiPolygon"}
    geometry["coordinates"] = parts[0] if single else parts
    if plane.slice is not None:
        geometry["plane"] = dict(c=-1, z=plane.slice, t=0)
    color = [int(row.color[n : n + 2], 16) for n in (1, 3, 5)]
    properties: dict[str, Any] = {
        "objectType": "detection" if one.number else "annotation",
        "classification": {"name": row.name, "color": color},
    }
    if one.number:
        properties |= {"name": str(one.number), "measurements": {NUMBER: one.number}}
    return {"type": "Feature", "geometry": geometry, "properties": properties}
