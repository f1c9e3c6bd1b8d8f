"""Bytes to tensors and back: knows files, no maths."""

from weightscape.io.adapter import Adapter, stored_of
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.discovery import Found, Skipped, discover
from weightscape.io.fingerprint import content_hash, fingerprint
from weightscape.io.opening import open_checkpoint
from weightscape.io.tensors import TensorInfo
from weightscape.io.writer import write_checkpoint

__all__ = [
    "Adapter",
    "Checkpoint",
    "Found",
    "Skipped",
    "TensorInfo",
    "content_hash",
    "discover",
    "fingerprint",
    "open_checkpoint",
    "stored_of",
    "write_checkpoint",
]
