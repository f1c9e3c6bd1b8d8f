"""The second look: what two given models' tensors tell that a Gram cannot."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeltaLook:
    """What a child's tensors say about one parent, tensor by tensor.

    unchanged: share of elements bit-identical to the parent's. rank: numeric rank of child minus
    parent for the 2-D tensors looked at; ranks above `rank_cap` are given as ``rank_cap + 1``.
    rounded: share of elements where the child equals the parent rounded to the child's dtype.
    zeros: share of exact zeros in the child.
    """

    unchanged: dict[str, float]
    rank: dict[str, int]
    rank_cap: int
    rounded: dict[str, float]
    zeros: dict[str, float]
    bytes_read: int
