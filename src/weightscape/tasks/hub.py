"""Whether a name can be had from the hub, found out by one question instead of many."""

from weightscape.errors import NotFound
from weightscape.io.hub import refusal


def needs_cache(where: str) -> bool:
    """Ask the hub once for a model; tell whether it cannot be reached, but is in the cache.

    Left to itself, transformers asks several times with growing pauses, for every file.

    Raises NotFound where the hub does not have the model or cannot be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, OfflineModeIsEnabled

    missing = f"{where[:200]}: no such folder, and "
    try:
        get_hf_file_metadata(hf_hub_url(where, "config.json"), timeout=10)
    except HFValidationError:
        raise NotFound(f"{where[:200]}: no such folder; give a model's folder or hub id") from None
    except EntryNotFoundError:
        raise NotFound(f"{missing}what the hub has has no config.json") from None
    except Exception as error:  # each transport has errors of its own
        why = refusal(error)
        unheard = why is None or isinstance(error, OfflineModeIsEnabled)
        if unheard and isinstance(try_to_load_from_cache(where, "config.json"), str):
            return True
        raise NotFound(
            missing + (why or "the hub cannot be reached to look for it there")
        ) from error
    return False
