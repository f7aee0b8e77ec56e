"""What the units of a model answer to a data set, or to one image."""
