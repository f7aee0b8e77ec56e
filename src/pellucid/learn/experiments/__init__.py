"""Experiments that train many networks: grids of settings, clusters."""
