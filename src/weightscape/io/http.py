"""A file on a web server, read by ranges: what is asked for is what is sent, nothing ahead."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightscape.errors import BadCheckpoint, NeedsDownload
from weightscape.io.asking import Traffic, asked, refused
from weightscape.io.locations import without_secrets
from weightscape.io.trying import WORTH_IT, Broken, Tries

if TYPE_CHECKING:
    from httpx2 import Response

_FIRST = 8
"""Bytes of the first read: the length of a safetensors header. It tells the file's size as well,
so that a header costs two requests and not a byte more than itself."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Body:
    """A file as it comes: the byte that it starts at, the whole size if told, its pieces.

    mark: its ETag, or else when it was changed. same: it is the file that was asked not to be
    sent again.
    """

    start: int
    size: int | None
    mark: str | None
    pieces: Iterator[bytes]
    same: bool = False


class HttpFile:
    """A `Source` of a URL.

    Connections that break are opened again with growing pauses, and go on at the byte that was
    reached. Every answer has to be of the same file: same size, same ETag. `traffic` counts what
    is asked and sent. Raises NotFound where the server has no such file or does not give it,
    NeedsDownload where it sends whole files only, BadCheckpoint where it does not keep to the
    protocol or breaks off again and again. Safe to read from several threads.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.url = url
        self.traffic = Traffic() if traffic is None else traffic
        self._token = token
        self._size: int | None = None
        self._mark: str | None = None
        self._first = b""
        # where redirects led: later ranges need not be led there again
        self._led_to: str | None = None

    @property
    def name(self) -> str:
        """Tell what errors should call it."""
        return without_secrets(self.url)

    @property
    def mark(self) -> str | None:
        """Tell the file's ETag, or else when it was changed; None before a range of it was read."""
        return self._mark

    def size(self) -> int:
        """Tell the file's size."""
        if self._size is None:
            self._first = bytes(self._fetch(0, _FIRST))
        assert self._size is not None
        return self._size

    def read(self, start: int, count: int) -> bytes:
        """Read exactly `count` bytes from `start`; raise BadCheckpoint where there are fewer."""
        return bytes(self.fetch(start, count))

    def fetch(self, start: int, count: int) -> bytearray:
        """Read as `read` does, into memory that the caller may keep and change."""
        if count <= 0:
            return bytearray()
        size = self.size()
        if start + count > size:
            raise BadCheckpoint(
                f"ends after {size} bytes; it is truncated",
                file=self.name,
                span=(start, start + count),
            )
        if start + count <= len(self._first):
            return bytearray(self._first[start : start + count])
        return self._fetch(start, start + count)

    def tries(self) -> Tries:
        """Count tries to read this file anew."""
        return Tries(self.name)

    def small(self, limit: int) -> bytes:
        """Read a whole small file by one request, refusing more than `limit` bytes."""
        tries = self.tries()
        while True:
            try:
                with self.body() as body:
                    got = bytearray()
                    if (body.size or 0) > limit:
                        raise _too_large(self.name, limit)
                    for piece in body.pieces:
                        got += piece
                        if len(got) > limit:
                            raise _too_large(self.name, limit)
                    return bytes(got)
            except Broken as problem:
                tries.failed(problem)

    @contextmanager
    def body(
        self, start: int = 0, mark: str | None = None, unless: str | None = None
    ) -> Iterator[Body]:
        """Ask for all from `start` on; raise Broken where the connection breaks.

        mark: that of what is held already. The answer starts at 0 where the server knows no
        ranges or has another file by now. unless: the mark of a file that need not be sent.
        """
        headers = {}
        if unless:
            dated = unless[:1] not in ('"', "W")
            headers["If-Modified-Since" if dated else "If-None-Match"] = unless
        if start:
            headers["Range"] = f"bytes={start}-"
            if mark and not mark.startswith("W/"):
                headers["If-Range"] = mark
        with self._ask(headers) as (response, pieces):
            first, size = 0, _length(response)
            if response.status_code == 304 and unless:
                yield Body(0, None, unless, iter(()), same=True)
                return
            if response.status_code == 206:
                first, _, whole = self._range_of(response)
                if first != start:
                    raise self._another(response)
                size = whole
            elif response.status_code == 416 and start:
                raise Broken("the file is no longer than what was fetched of it", stale=True)
            elif response.status_code != 200:
                raise refused(self.name, response.status_code)
            elif response.headers.get("content-encoding", "identity") != "identity":
                raise BadCheckpoint(
                    "is sent compressed, though it was asked not to", file=self.name
                )
            yield Body(first, size, _mark(response), pieces)

    def _fetch(self, start: int, stop: int) -> bytearray:
        """Read a range, or what the file has of it while its size is not known."""
        got = bytearray()
        tries = self.tries()
        while start + len(got) < (stop if self._size is None else min(stop, self._size)):
            held = len(got)
            try:
                self._add(got, start, stop)
            except Broken as problem:
                tries.failed(problem, gained=len(got) - held)
        return got

    def _add(self, got: bytearray, start: int, stop: int) -> None:
        first = start + len(got)
        with self._ask({"Range": f"bytes={first}-{stop - 1}"}) as (response, pieces):
            if response.status_code == 416:
                match = _UNSATISFIED.fullmatch(response.headers.get("content-range", ""))
                if match is None or int(match[1]) > first:
                    raise BadCheckpoint(
                        f"the server refuses the bytes {first}-{stop}", file=self.name
                    )
                self._settle(int(match[1]), None)
                return
            if response.status_code == 200:
                raise self._no_ranges(response)
            if response.status_code != 206:
                raise refused(self.name, response.status_code)
            begin, end, size = self._range_of(response)
            if begin != first or end >= stop or size is None:
                raise self._another(response)
            self._settle(size, _mark(response))
            for piece in pieces:
                got += piece
                if start + len(got) > end + 1:
                    raise BadCheckpoint("sends more than it was asked for", file=self.name)
            gained = start + len(got) - first
            if first + gained < min(stop, size) and gained < WORTH_IT:
                raise Broken(f"the server sends {gained} bytes of what it was asked for")

    @contextmanager
    def _ask(self, headers: dict[str, str]) -> Iterator[tuple["Response", Iterator[bytes]]]:
        """Ask where redirects led before, else anew: such addresses run out."""
        led_to = self._led_to
        with asked(
            self.url, headers, token=self._token, traffic=self.traffic, led_to=led_to
        ) as answer:
            if answer.response.status_code in (200, 206, 304):
                self._led_to = answer.url if answer.url != self.url else None
            elif led_to is not None and answer.url == led_to:
                self._led_to = None
                if answer.response.status_code != 416:
                    raise Broken("the address that the server gave has run out", free=True)
            yield answer.response, answer.pieces

    def _settle(self, size: int, mark: str | None) -> None:
        changed = self._size is not None and size != self._size
        if changed or (self._mark and mark and self._mark != mark):
            raise BadCheckpoint("was changed while it was being read; try again", file=self.name)
        self._size = size
        self._mark = self._mark or mark

    def _range_of(self, response: "Response") -> tuple[int, int, int | None]:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None or response.headers.get("content-encoding", "identity") != "identity":
            raise self._another(response)
        first, last = int(match[1]), int(match[2])
        size = None if match[3] == "*" else int(match[3])
        if last < first or (size is not None and last >= size):
            raise self._another(response)
        return first, last, size

    def _another(self, response: "Response") -> BadCheckpoint:
        said = response.headers.get("content-range", "no Content-Range")[:80]
        return BadCheckpoint(
            f"the server answers another range than it was asked for ({said!r})", file=self.name
        )

    def _no_ranges(self, response: "Response") -> NeedsDownload:
        length = _length(response)
        size = f" ({length:,} bytes)" if length is not None else ""
        return NeedsDownload(
            f"{self.name}: the server sends whole files only{size}; "
            "fetch the model with --allow-download"
        )


def is_mark(told: str) -> bool:
    """Tell whether a server's mark of a file can be sent back to it as a header."""
    return 0 < len(told) < 500 and told.isascii() and told.isprintable()


def _mark(response: "Response") -> str | None:
    """Tell what changes when the file does."""
    told = (response.headers.get(it) for it in ("etag", "last-modified"))
    return next((it for it in told if it and is_mark(it)), None)


def _length(response: "Response") -> int | None:
    told = response.headers.get("content-length", "")
    return int(told) if re.fullmatch(r"\d{1,18}", told) else None


def _too_large(name: str, limit: int) -> BadCheckpoint:
    return BadCheckpoint(f"more than {limit:,} bytes are not read from such a file", file=name)
