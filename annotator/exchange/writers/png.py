"""PNG: the class of every pixel, as the picture is displayed."""

from annotator.exchange.writers.contract import LabelledImage, Writer
from storage.formats.pictures import write_labels


class PngWriter(Writer):
    def write(self, image: LabelledImage) -> None:
        write_labels(self.folder.place(f"{image.name}.png", image), image.values)
        if image.instances is not None:
            path = self.folder.place(f"{image.name}_instances.png", image)
            write_labels(path, image.instances)
