"""A web server on loopback that serves files by ranges, counts every byte, and misbehaves."""

import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Asked:
    """One request: its path, its headers, and how it was answered."""

    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


@dataclass
class RangeServer:
    """Files by path below `folder`, and how they are served.

    Each list of faults is used up from its front: `breaks` are numbers of bytes after which the
    connection of a body of more than 1,000 bytes is cut, `busy` are statuses answered instead of a
    file. `answer` may replace an answer: it takes path and (status, headers, body). Without
    `lengths` a whole file comes without word of its length, and one of more than 1,000 bytes with
    what is `endless` behind it, again and again until the reader has gone.
    """

    folder: Path
    url: str = ""
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    led: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    lengths: bool = True
    endless: bytes = b""
    answer: Callable[..., tuple[int, dict[str, str], bytes]] | None = None
    asked: list[Asked] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Count the bytes of bodies that were sent."""
        return sum(it.sent for it in self.asked)

    def forget(self) -> None:
        """Count anew."""
        self.asked.clear()

    def add_hub_model(self, name: str, source: Path) -> None:
        """Serve a folder as the one commit of a hub's model."""
        files = [it for it in sorted(source.rglob("*")) if it.is_file()]
        listed = []
        for file in files:
            data, path = file.read_bytes(), file.relative_to(source).as_posix()
            place = self.folder / name / "resolve" / COMMIT / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            about: dict[str, object] = {"rfilename": path, "size": len(data)}
            if file.suffix == ".safetensors":
                sha = hashlib.sha256(data).hexdigest()
                about["lfs"] = {"size": len(data), "sha256": sha, "pointerSize": 130}
            listed.append(about)
        self.list_hub_model(name, listed)

    def list_hub_model(self, name: str, files: list[dict[str, object]]) -> None:
        """Let the hub list these files of a model, at its main revision and at its commit."""
        told = json.dumps({"id": name, "sha": COMMIT, "siblings": files})
        for path in (f"api/models/{name}", f"api/models/{name}/revision/{COMMIT}"):
            place = self.folder / path / "index.json"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(told)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each small answer waits 40 ms for an acknowledgement
    served: RangeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        served = self.served
        path = unquote(urlsplit(self.path).path)
        asked = Asked(self.path, {key.lower(): value for key, value in self.headers.items()})
        served.asked.append(asked)
        status, headers, body = self._found(path)
        if served.answer is not None:
            status, headers, body = served.answer(path, (status, headers, body))
        asked.status = status
        self.send_response(status)
        if status == 200 and not served.lengths:
            self._send_in_chunks(asked, headers, body)
            return
        headers.setdefault("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        cut = len(body)
        if served.breaks and len(body) > 1000:
            cut = min(cut, served.breaks.pop(0))
        try:
            for start in range(0, cut, 1 << 16):
                piece = body[start : min(cut, start + (1 << 16))]
                asked.sent += len(piece)  # before it goes: the test may look at once
                self.wfile.write(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if cut < int(headers["Content-Length"]):
            self.close_connection = True

    def _send_in_chunks(self, asked: Asked, headers: dict[str, str], body: bytes) -> None:
        for key, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            self.send_header(key, value)
        self.end_headers()
        pieces = [body[start : start + (1 << 16)] for start in range(0, len(body), 1 << 16)]
        more = (
            itertools.repeat(self.served.endless)
            if self.served.endless and len(body) > 1000
            else ()
        )
        try:
            for piece in itertools.chain(pieces, more):
                asked.sent += len(piece)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _found(self, path: str) -> tuple[int, dict[str, str], bytes]:
        served = self.served
        if path in served.led:
            return 302, {"Location": served.led[path]}, b"elsewhere"
        if served.token and self.headers.get("Authorization") != f"Bearer {served.token}":
            return 401, {"X-Error-Code": "GatedRepo"}, b"no"
        file = served.folder / path.lstrip("/")
        if file.is_dir():
            file = file / "index.json"
        if not file.is_file():
            code = {"X-Error-Code": "RepoNotFound"} if path.startswith("/api/models/") else {}
            return 404, code, b"not found"
        if served.busy:
            return served.busy.pop(0), {"Retry-After": "1"}, b""
        data = file.read_bytes()
        mark = f'"{hashlib.md5(data).hexdigest()}"'
        if self.headers.get("If-None-Match") == mark and served.ranges:
            return 304, {"ETag": mark}, b""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        current = self.headers.get("If-Range") in (None, mark)
        if not (served.ranges and wanted and current):
            return 200, {"ETag": mark}, data
        first = int(wanted[1])
        last = min(int(wanted[2] or len(data)), len(data) - 1)
        if first > last:
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
        told = {"ETag": mark, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return 206, told, data[first : last + 1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: that a client leaves in the middle is what is tested."""


@contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder on a free port of loopback."""
    served = RangeServer(folder)
    handler = type("Handler", (_Handler,), {"served": served})
    with _Server(("127.0.0.1", 0), handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
