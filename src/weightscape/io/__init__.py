"""Bytes to tensors and back: knows files, no maths."""

from weightscape.io.adapter import Adapter, stored_of
from weightscape.io.any_place import open_any, open_remote
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.discovery import Found, Skipped, discover
from weightscape.io.fingerprint import content_hash, fingerprint
from weightscape.io.locations import HubPlace, Location, WebPlace, locate
from weightscape.io.opening import open_checkpoint
from weightscape.io.remote import RemoteCheckpoint
from weightscape.io.tensors import TensorInfo
from weightscape.io.writer import write_checkpoint

__all__ = [
    "Adapter",
    "Checkpoint",
    "Found",
    "HubPlace",
    "Location",
    "RemoteCheckpoint",
    "Skipped",
    "TensorInfo",
    "WebPlace",
    "content_hash",
    "discover",
    "fingerprint",
    "locate",
    "open_any",
    "open_checkpoint",
    "open_remote",
    "stored_of",
    "write_checkpoint",
]
