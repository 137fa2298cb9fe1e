"""`python pydicom_seg_places.py FILE`: where pydicom-seg finds the voxels of each segment, in mm, as JSON.

It runs in an environment of its own, because pydicom-seg needs an older pydicom than the app.
"""

import json
import sys

import numpy as np
import pydicom
import pydicom_seg  # type: ignore[import-not-found]
import SimpleITK as sitk


def main(file: str) -> None:
    read = pydicom_seg.SegmentReader().read(pydicom.dcmread(file))
    found = {}
    for number in read.available_segments:
        image = read.segment_image(number)
        index = np.argwhere(sitk.GetArrayFromImage(image) > 0)[:, ::-1]
        axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        found[read.segment_infos[number].SegmentLabel] = (index @ axes.T + image.GetOrigin()).tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
