"""The page: one HTML file that holds everything it needs and asks nothing of any server."""

import base64
import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from weightscape.report.data import PageData
from weightscape.report.kinship import trace_kinship
from weightscape.report.layout import pack_trees
from weightscape.report.path_payload import path_payload
from weightscape.report.payload import embed_json, page_payload
from weightscape.report.region_payload import region_payload
from weightscape.report.search_payload import search_payload
from weightscape.report.start_payload import start_payload
from weightscape.report.tune_payload import tune_payload
from weightscape.report.words import summary

STYLES = ("tokens.css", "frame.css", "views.css", "paths.css", "results.css", "search.css")
SCRIPTS = (
    "atlas.js",
    "dom.js",
    "marks.js",
    "forest.js",
    "map.js",
    "heat.js",
    "paths.js",
    "knowledge.js",
    "plane.js",
    "search.js",
    "results.js",
    "region.js",
    "start.js",
    "tune.js",
    "table.js",
    "panel.js",
    "main.js",
)


def write_page(data: PageData, path: str | Path) -> Path:
    """Write the page of an atlas to `path` as one self-contained HTML file, and return its path.

    The file is replaced in one step, so a reader never sees half a page. A content security
    policy in the page allows only the scripts written here and no request at all.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = render_page(data).encode("utf-8", "replace")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp's 0600 would keep a web server from showing it
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def render_page(data: PageData) -> str:
    """Render the page of an atlas as HTML."""
    environment = Environment(
        loader=PackageLoader("weightscape.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None

    def source(name: str) -> str:
        return loader.get_source(environment, name)[0]

    kinship = trace_kinship(data)
    payload = page_payload(data, kinship, pack_trees(data.models))
    payload["paths"] = path_payload(data)
    payload["known"] = search_payload(data)
    payload["found"] = {
        "region": region_payload(data),
        "start": start_payload(data),
        "tune": tune_payload(data),
    }
    # one scope for our scripts, so that nothing of them meets Plotly's names
    script = "\n".join(["(() => {", '"use strict";', *map(source, SCRIPTS), "})();"])
    return environment.get_template("page.html").render(
        data=data,
        summary=summary(data, kinship),
        style=Markup("\n".join(map(source, STYLES))),
        plotly=Markup(_plotly_script()),
        script=Markup(script),
        payload=Markup(embed_json(payload)),
        policy=_policy(_plotly_script(), script),
    )


@cache
def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    # Plotly sets styles on elements and paints heat maps as images held in data URLs
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
