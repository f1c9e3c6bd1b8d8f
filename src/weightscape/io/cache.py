"""Where what was fetched is kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Tell where downloads are kept: `$WEIGHTSCAPE_CACHE`, or `~/.cache/weightscape`."""
    return Path(os.environ.get("WEIGHTSCAPE_CACHE") or Path.home() / ".cache" / "weightscape")
