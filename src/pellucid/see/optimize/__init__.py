"""The ascent: what an image is made of, and how it is moved uphill."""
