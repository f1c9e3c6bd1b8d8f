"""The store: models, families, Grams and findings of one atlas, in transactions."""
