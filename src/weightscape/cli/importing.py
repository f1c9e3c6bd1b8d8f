"""Loading what a verb needs, where that is most of what the verb takes."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Keep what is imported meanwhile, which stays to the end, from the garbage collector.

    It makes half a million objects (torch, most of them), which would be looked at again and again
    while they come, with every large collection after, and once more when Python leaves.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
