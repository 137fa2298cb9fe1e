"""NIfTI: the class of every voxel on the image's exact grid."""

from annotator.exchange.writers.contract import LabelledImage, Writer
from storage.formats.nifti import write_labels


class NiftiWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        write_labels(self.folder.place(f"{image.name}.nii.gz", image), image.values, image.grid)
        if image.instances is not None:
            path = self.folder.place(f"{image.name}_instances.nii.gz", image)
            write_labels(path, image.instances, image.grid)
