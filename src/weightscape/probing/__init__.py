"""Learning on weights: what a model knows, read from one layer through learned probes.

The method is ProbeX of Horwitz, Cavia, Kahana and Hoshen, "Learning on Model Weights using Tree
Experts" (CVPR 2025, arXiv:2410.13569): one *expert* for each tree of models reads one layer and
gives a vector, which is compared with classes it was trained on or with the vectors of any text.
"""
