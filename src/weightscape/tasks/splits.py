"""Which rows are trained on and which are held out, by a seed and nothing else."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from weightscape.errors import BadInput
from weightscape.tasks.task import Row

SHARES: Mapping[str, float] = {"test": 0.2, "validation": 0.1, "train": 0.7}


def split_rows(
    rows: Sequence[Row],
    *,
    seed: int = 0,
    shares: Mapping[str, float] = SHARES,
    by_text_alone: bool = False,
) -> dict[str, list[Row]]:
    """Split rows, the same way whatever their order.

    Every label is split in the same proportions (stratified). With `by_text_alone`, the side of
    a text follows from the text and the seed only, so that a text which several tasks share is on
    the same side in each of them; the labels' proportions then hold up to chance.
    """
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0:
        raise BadInput(f"the shares of the splits must add up to 1; got {dict(shares)}")
    at = sorted((_position(text, seed), text, label) for text, label in rows)
    if by_text_alone:
        placed = at
    else:
        count: dict[str, int] = {}
        for _, _, label in at:
            count[label] = count.get(label, 0) + 1
        rank = dict.fromkeys(count, 0)
        placed = []
        for _, text, label in at:
            placed.append(((rank[label] + 0.5) / count[label], text, label))
            rank[label] += 1
    out: dict[str, list[Row]] = {name: [] for name in shares}
    for position, text, label in placed:
        out[_side(position, shares)].append((text, label))
    return out


def _position(text: str, seed: int) -> float:
    """Place a text in [0, 1): fixed by the text and the seed, spread evenly over texts.

    Texts that differ in case, spacing and punctuation only (as copies of one data set do) get one
    place, so they never end up on two sides.
    """
    letters = re.sub(r"[\W_]+", "", text.casefold()) or text
    digest = hashlib.blake2b(f"{seed}\n{letters}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _side(position: float, shares: Mapping[str, float]) -> str:
    end = 0.0
    for name, share in shares.items():
        end += share
        if position < end:
            return name
    return list(shares)[-1]  # the shares' sum rounded to a little under 1
