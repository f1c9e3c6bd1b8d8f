"""Data sets, evaluation and fine-tuning."""
