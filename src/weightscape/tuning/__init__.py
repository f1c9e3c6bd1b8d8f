"""The best blend of experts for a task, searched from a few examples."""
