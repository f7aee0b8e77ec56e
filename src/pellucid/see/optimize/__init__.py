"""Optimize: initial images, an objective -> images that the objective is large for."""
