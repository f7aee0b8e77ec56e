"""The atlas: a static site with a page for every unit of a model."""
