"""How a search chooses its next points: one file a method, one name each in SAMPLERS."""

from weightscape.tuning.samplers import cma_es, cobyqa, gradient, model_based, random, spsa
from weightscape.tuning.samplers.sampler import (
    DEFAULT_SAMPLER,
    SAMPLERS,
    Sampler,
    SamplerFactory,
    check_sampler,
)

__all__ = [
    "DEFAULT_SAMPLER",
    "SAMPLERS",
    "Sampler",
    "SamplerFactory",
    "check_sampler",
    "cma_es",
    "cobyqa",
    "gradient",
    "model_based",
    "random",
    "spsa",
]
