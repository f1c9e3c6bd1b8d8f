"""Which rows are trained on and which are held out, by a seed and nothing else."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from weightscape.errors import BadInput
from weightscape.tasks.sameness import exact_key, loose_key
from weightscape.tasks.task import SPLITS, Example, Split

SHARES: Mapping[Split, float] = {"test": 0.2, "validation": 0.1, "train": 0.7}


def by_label(example: Example) -> Hashable:
    """Put the rows of a label into one stratum."""
    label: Hashable = example.target
    return label


def all_alike(example: Example) -> Hashable:
    """Put all rows into one stratum."""
    return None


def split_examples(
    examples: Sequence[Example],
    *,
    seed: int = 0,
    shares: Mapping[Split, float] = SHARES,
    stratum: Callable[[Example], Hashable] | None = by_label,
) -> dict[str, list[Example]]:
    """Split examples, the same way whatever their order; each split comes shuffled.

    Examples that differ in case, spacing and punctuation only are on one side. Every stratum is
    split in the same proportions. Without strata the side of an input follows from the input and
    the seed only, so that a text which several tasks share is on the same side in each of them;
    the proportions then hold up to chance.
    """
    check_shares(shares)
    shares = {split: shares[split] for split in SHARES if split in shares}
    placed = _placed(examples, seed)
    if stratum is None:
        side = {place.loose: _side(place.position, shares) for place in placed}
    else:
        side = _sides_by_stratum(placed, stratum, shares)
    out: dict[str, list[Example]] = {name: [] for name in shares}
    for place in placed:
        out[side[place.loose]].append(place.example)
    return out


def shuffled(examples: Sequence[Example], *, seed: int = 0) -> list[Example]:
    """Put examples in an order that follows from their content and the seed.

    The first few of any split are then a fair sample of it, also of a file sorted by label.
    """
    return [place.example for place in _placed(examples, seed)]


def check_shares(shares: Mapping[Split, float]) -> None:
    """Refuse shares that do not add up, or of splits that there are not."""
    strangers = set(shares) - set(SPLITS)
    if strangers:
        raise BadInput(f"there is no split {min(strangers)!r}; the splits are {', '.join(SPLITS)}")
    whole = abs(sum(shares.values()) - 1) <= 1e-9  # false for NaN
    if not whole or min(shares.values()) < 0:
        raise BadInput(f"the shares of the splits must add up to 1; got {dict(shares)}")


class _Place(NamedTuple):
    """Where an example stands among the others; sorted by position, copies by their content."""

    position: float
    exact: str
    row: int
    loose: str
    example: Example


def _placed(examples: Sequence[Example], seed: int) -> list[_Place]:
    """Sort examples by a place in [0, 1): fixed by the input and the seed, spread evenly."""
    places = []
    for example in examples:
        loose = loose_key(example.inputs)
        content = f"{seed}\n{loose}".encode(errors="surrogatepass")
        digest = hashlib.blake2b(content, digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64
        places.append(_Place(position, exact_key(example.inputs), example.row, loose, example))
    return sorted(places, key=lambda place: place[:3])


def _sides_by_stratum(
    placed: Sequence[_Place], stratum: Callable[[Example], Hashable], shares: Mapping[Split, float]
) -> dict[str, str]:
    """Give each group of near copies the side at which its middle stands in its stratum."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for place in placed:
        groups[place.loose].append(place.example)
    total: dict[Hashable, int] = defaultdict(int)
    for group in groups.values():
        total[stratum(group[0])] += len(group)
    before: dict[Hashable, int] = defaultdict(int)
    sides: dict[str, str] = {}
    for key, group in groups.items():
        mine = stratum(group[0])
        sides[key] = _side((before[mine] + len(group) / 2) / total[mine], shares)
        before[mine] += len(group)
    return sides


def _side(position: float, shares: Mapping[Split, float]) -> str:
    end = 0.0
    for name, share in shares.items():
        end += share
        if position < end:
            return name
    return list(shares)[-1]  # the shares' sum rounded to a little under 1
