"""Paths between models: lines, curves, chains and planes, and what is known along them."""
