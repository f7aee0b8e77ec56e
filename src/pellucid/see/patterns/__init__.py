"""Patterns: a model, a layer -> for every unit, the image that it responds to most."""
