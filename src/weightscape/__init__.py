"""weightscape: the landscape of model weights."""

__version__ = "0.1.0"

__all__ = ["__version__"]
