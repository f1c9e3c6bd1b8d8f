"""The page of an atlas, and its pictures."""
