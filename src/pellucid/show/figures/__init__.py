"""Figures: what was trained, found and measured, drawn by Matplotlib."""
