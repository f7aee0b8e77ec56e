"""Patterns: for every unit, the image that it answers to most."""
