"""Boundaries out of images: the staircase between cells, made smooth, with points as far apart as a mesh needs them."""

from __future__ import annotations

from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.resampling import resample
from chemomech.microstructure.smoothing import smooth
from chemomech.microstructure.staircase import ABSENT, HOLE, Grid, Staircase, from_labels, from_points

__all__ = ["ABSENT", "HOLE", "Grid", "PlanarMap", "Staircase", "from_labels", "from_points", "resample", "smooth"]
