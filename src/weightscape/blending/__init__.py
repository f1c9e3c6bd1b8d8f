"""Averages of models that need no more than their weights or a score: which weights they take."""
