"""Objectives: outputs of layers -> one number per image, which an ascent makes large."""
