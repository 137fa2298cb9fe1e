"""The protocol of ITK-SNAP's deep learning segmentation, as its server 0.1.6 answers it."""
