"""Sample populations with known truth, made from real bases and real data."""
