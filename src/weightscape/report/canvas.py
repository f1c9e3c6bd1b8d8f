"""Figures without pyplot: no window, no global state, no settings left changed."""

import io
import warnings
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weightscape.errors import BadInput
from weightscape.report.scenery import PANEL

FORMATS = (".png", ".svg", ".pdf")


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of so many inches."""
    figure = Figure(figsize=(width, height), facecolor=PANEL, dpi=150)
    FigureCanvasAgg(figure)
    return figure


def check_picture(path: Path) -> None:
    """Refuse a name whose ending is of no kind of picture that can be drawn; raises BadInput."""
    if path.suffix.lower() not in FORMATS:
        raise BadInput(f"a picture's name must end in {', '.join(FORMATS)}; got {path.name!r}")


def save_picture(figure: Figure, path: str | Path) -> Path:
    """Write a figure as its path's extension says, making folders where needed."""
    target = Path(path)
    check_picture(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # no date inside: the same data give the same file
    undated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with warnings.catch_warnings():
        # names may have characters that no font here has; a box stands for each
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        drawn = io.BytesIO()
        kind = target.suffix.lower()
        figure.savefig(drawn, format=kind[1:], facecolor=PANEL, metadata=undated[kind])
    half = target.with_name(f".{target.name}.half")
    try:
        half.write_bytes(drawn.getbuffer())
        half.replace(target)
    except BaseException:  # half a picture may look whole
        half.unlink(missing_ok=True)
        raise
    return target
