"""Making worlds: neurite-like objects, their supervoxels, a history of edits, annotations, and the truth
about them.

All of it happens on a grid of half the resolution, where a voxel stands for 2 x 2 x 2 voxels of the volume.
"""
