"""Which hub is asked, and what it is shown of us."""

import os


def endpoint() -> str:
    """Give the hub's address: `$HF_ENDPOINT`, or the one that huggingface_hub knows."""
    given = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
    if given:
        return given
    from huggingface_hub.constants import ENDPOINT

    return str(ENDPOINT)


def token() -> str | None:
    """Give the hub's token from the environment or from where huggingface_hub keeps it."""
    from huggingface_hub import get_token

    return get_token()
