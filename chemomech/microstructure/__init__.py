"""Grains, the boundaries between them and the junctions of those: read, made, measured, classified and drawn."""
