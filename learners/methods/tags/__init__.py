"""Masks from image tags: people say which classes are on a slice, and this finds where.

After Wang et al., "WeakMedSAM: Weakly-Supervised Medical Image Segmentation via SAM with Sub-Class Exploration and
Prompt Affinity Mining", IEEE TMI 2025, on our own features and any prompt model.
"""
