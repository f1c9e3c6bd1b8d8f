"""Averages of models: by their weights alone, by a score, or by what a few rows say of layers."""
