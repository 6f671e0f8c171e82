"""Captures on disk: multi-view images, masks, cameras and SMPL poses."""
