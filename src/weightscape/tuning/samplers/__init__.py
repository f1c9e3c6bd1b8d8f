"""How a search chooses its next points: one file a method, one name each in SAMPLERS."""

from weightscape.tuning.samplers import cma_es, cobyqa, gradient, model_based, random, spsa
from weightscape.tuning.samplers.sampler import SAMPLERS, Sampler, SamplerFactory

__all__ = [
    "SAMPLERS",
    "Sampler",
    "SamplerFactory",
    "cma_es",
    "cobyqa",
    "gradient",
    "model_based",
    "random",
    "spsa",
]
