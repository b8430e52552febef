"""Frozen versions of annotations on a segmentation that keeps changing."""

__version__ = "6.0.0"
