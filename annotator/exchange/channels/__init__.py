"""Which files of an import are channels of one image: by a table, as nnU-Net numbers them, as BIDS names them."""
