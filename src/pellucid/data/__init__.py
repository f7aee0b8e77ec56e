"""Data: images with labels from files, in the one form that every room takes; photographs; scalings."""
