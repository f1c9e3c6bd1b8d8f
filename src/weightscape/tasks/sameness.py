"""When two inputs are the same: exactly, and but for case, spacing and punctuation."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

_BETWEEN = "\x1f"


def plain(text: str) -> str:
    """Normalise white space.

    >>> plain(" a  b ")
    'a b'
    """
    return " ".join(text.split())


def exact_key(inputs: Any) -> str:
    """Give a key that two inputs share only when they are the same up to white space.

    Two files are the same when they have one path; their content is not looked at.
    """
    if isinstance(inputs, str):
        return plain(inputs)
    if isinstance(inputs, PurePath):
        return str(inputs)
    if isinstance(inputs, Mapping):
        return _BETWEEN.join(f"{name}={exact_key(value)}" for name, value in inputs.items())
    if isinstance(inputs, tuple | list):
        return _BETWEEN.join(exact_key(part) for part in inputs)
    content = array_bytes(inputs)
    if content is not None:
        return hashlib.blake2b(content, digest_size=16).hexdigest()
    return repr(inputs)


def array_bytes(value: Any) -> bytes | None:
    """Give an array's, tensor's or image's dtype, shape and content; None for other things."""
    if hasattr(value, "detach"):  # a tensor, maybe of a dtype that NumPy does not know (bfloat16)
        import torch

        still = value.detach().cpu().contiguous()
        content: bytes = still.reshape(-1).view(torch.uint8).numpy().tobytes()
        return f"{still.dtype}{tuple(still.shape)}".encode() + content
    if isinstance(value, np.ndarray) or hasattr(value, "__array_interface__"):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return None


def loose_key(inputs: Any) -> str:
    """Give a key that inputs share which differ in case, spacing and punctuation only.

    >>> loose_key("It is, good!") == loose_key("it is good")
    True
    """
    if isinstance(inputs, str):
        return re.sub(r"[\W_]+", "", inputs.casefold()) or inputs
    if isinstance(inputs, tuple | list):
        return _BETWEEN.join(loose_key(part) for part in inputs)
    return exact_key(inputs)
