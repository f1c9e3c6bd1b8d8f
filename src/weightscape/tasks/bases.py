"""Where the base is that an adapter folder names."""

from pathlib import Path

from weightscape.errors import BadCheckpoint, NotFound
from weightscape.io.json_files import read_json
from weightscape.io.layout import ADAPTER_CONFIG


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter and no whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def peft_type(folder: Path) -> str:
    """Tell what kind of adapter a folder says that it holds, as peft writes it ("LORA")."""
    return str(read_json(folder / ADAPTER_CONFIG).get("peft_type", "")).upper()


def find_base(folder: Path) -> str | Path:
    """Find what an adapter was put on: a folder, or the hub id that the adapter names.

    In order: the name as a path from the adapter's parent folder and from the folders above it
    (a zoo's models are named by their path in it); a sibling folder of the name's last part; the
    name as a path from here; else the name itself, where it can be a hub id.

    Raises BadCheckpoint for an adapter that names no base, NotFound where it is nowhere.
    """
    name = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise BadCheckpoint("names no base (base_model_name_or_path)", file=folder / ADAPTER_CONFIG)
    here = folder.absolute()
    above = list(here.parents)[:4]
    tried = [parent / name for parent in above]
    tried += [here.parent / Path(name).name, Path(name)]
    for place in tried:
        if _is_model(place) and place.resolve() != here.resolve():
            return place
    if looks_like_path(name):
        raise NotFound(
            f"{folder}: its base {name!r} is not there; put it beside the adapter "
            f"as {here.parent / Path(name).name}"
        )
    return name


def looks_like_path(name: str) -> bool:
    """Tell whether a name that leads nowhere can be no hub id: "owner/model" or "model"."""
    parts = name.split("/")
    return (
        len(parts) > 2
        or name.startswith((".", "~", "/"))
        or "\\" in name
        or not all(
            part and part.replace("-", "").replace("_", "").replace(".", "").isalnum()
            for part in parts
        )
    )


def _is_model(place: Path) -> bool:
    try:
        return place.is_dir() and any(
            entry.suffix in (".safetensors", ".bin", ".pt", ".json") for entry in place.iterdir()
        )
    except OSError:
        return False
