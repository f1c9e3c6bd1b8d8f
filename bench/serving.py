"""A web server on loopback that sends files by ranges, and counts what it sends."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PIECE = 1 << 20


@dataclass
class Served:
    """Where a folder is served, and how much of it was asked for so far."""

    url: str = ""
    requests: int = 0
    bytes_sent: int = 0


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve the files below a folder on a free port of loopback."""
    served, lock, root = Served(), threading.Lock(), folder.resolve()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            file = root / unquote(urlsplit(self.path).path).lstrip("/")
            if not file.is_file() or not file.resolve().is_relative_to(root):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                with lock:
                    served.requests += 1
                return
            status = file.stat()
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(wanted[1]) if wanted else 0
            last = int(wanted[2]) if wanted and wanted[2] else status.st_size - 1
            last = min(last, status.st_size - 1)
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", f'"{status.st_size}-{status.st_mtime_ns}"')
            self.send_header("Content-Length", str(last - first + 1))
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{status.st_size}")
            self.end_headers()
            with lock:
                served.requests += 1
                served.bytes_sent += last - first + 1
            with file.open("rb") as opened:
                opened.seek(first)
                left = last - first + 1
                while left:
                    piece = opened.read(min(_PIECE, left))
                    self.wfile.write(piece)
                    left -= len(piece)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
