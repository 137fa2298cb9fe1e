"""Reference segmentation: one labelled image or a few, and the same things in all others within one round."""
