"""Pure functions on tensors and Grams: no files are opened here and nothing is printed."""
