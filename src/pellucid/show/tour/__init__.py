"""The tour: train, look inside, dream; one page."""
