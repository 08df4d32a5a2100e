"""One module for each group of figures; each has `NAMES` and `measure(ground, wanted)`."""
