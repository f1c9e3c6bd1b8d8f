"""One request of a web server: redirects, what can be tried again, and what cannot.

httpx2 is what huggingface_hub speaks HTTP with: it pools connections, can be used by threads, and
hands a body over as it arrives, so that a server that sends a whole file for a range of it can be
left at its first byte.
"""

import atexit
import functools
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from weightscape.errors import BadCheckpoint, NotFound, WeightscapeError
from weightscape.io.locations import origin, without_secrets
from weightscape.io.trying import Broken

if TYPE_CHECKING:
    from httpx2 import Client, Response

PATIENCE = 30.0
"""Seconds without a byte after which a connection counts as broken."""

_REDIRECTS = 8
_LED_ON = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)


@dataclass(slots=True)
class Traffic:
    """What was asked of servers and what they sent: requests, and bytes of answers' bodies."""

    requests: int = 0
    bytes_read: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, requests: int = 0, received: int = 0) -> None:
        """Add to the counts, from any thread."""
        with self._lock:
            self.requests += requests
            self.bytes_read += received


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer: the address that it came from, its head, its body as it arrives."""

    url: str
    response: "Response"
    pieces: Iterator[bytes]


@contextmanager
def asked(
    url: str,
    headers: Mapping[str, str],
    *,
    token: str | None,
    traffic: Traffic,
    led_to: str | None = None,
) -> Iterator[Answer]:
    """Send a GET, at `led_to` if that is known, and follow where it leads; yield the answer.

    The token goes to the scheme, host and port of `url` only. Raises Broken for what may pass.
    """
    import httpx2

    name = without_secrets(url)
    where = led_to or url
    for _ in range(_REDIRECTS):
        sent = {"Accept-Encoding": "identity", **headers}
        if token and origin(where) == origin(url):
            sent["Authorization"] = f"Bearer {token}"
        traffic.count(requests=1)
        try:
            client = _client(os.getpid())
            with client.stream("GET", where, headers=sent) as response:
                if response.status_code in _LED_ON:
                    where = _next(name, where, response.headers.get("location", ""))
                    continue
                if response.status_code in _PASSING:
                    raise _busy(response)
                yield Answer(where, response, _counted(response, traffic))
                return
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise BadCheckpoint(f"no such address: {error}", file=name) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = f"the server cannot be reached ({_cause(error)})"
            raise Broken(reason, unheard=True, away=True) from None
        except httpx2.TransportError as error:
            raise Broken(f"the connection breaks ({_cause(error)})") from None
    raise BadCheckpoint(f"the server leads on more than {_REDIRECTS} times", file=name)


class Missing(NotFound):
    """A file that a server has not, or does not own to having."""


def refused(name: str, status: int) -> WeightscapeError:
    """Make the error for a status that no other try will better."""
    if status in (401, 403, 407, 451):
        # stores of objects answer 403 for what is not there, lest names be guessed
        return (Missing if status == 403 else NotFound)(
            f"{name}: the server does not give it ({status}); a hub's token is taken from HF_TOKEN"
        )
    if status in (404, 410):
        return Missing(f"{name}: the server has no such file ({status}); check the address")
    return BadCheckpoint(f"the server answers with status {status}", file=name)


def _counted(response: "Response", traffic: Traffic) -> Iterator[bytes]:
    for piece in response.iter_raw():
        traffic.count(received=len(piece))
        yield piece


def _next(name: str, where: str, location: str) -> str:
    try:
        following = urljoin(where, location) if location else ""
        scheme, host, _ = origin(following)
    except ValueError:
        scheme, host, following = "", "", ""
    if scheme not in ("http", "https") or not host:
        raise BadCheckpoint("the server leads on to no address of the web", file=name)
    if scheme == "http" and origin(where)[0] == "https":
        raise BadCheckpoint("the server leads on to an address without encryption", file=name)
    return following


def _busy(response: "Response") -> Broken:
    told = response.headers.get("retry-after", "")
    wait = float(told) if told.isdecimal() and len(told) < 6 else 0.0
    return Broken(f"the server answers with status {response.status_code}", wait=wait, unheard=True)


def _cause(error: Exception) -> str:
    # an error's text may hold the address with its query
    return type(error).__name__


@functools.lru_cache(maxsize=1)
def _client(process: int) -> "Client":
    """Give the connections of this process: a fork must not share them."""
    import httpx2

    from weightscape import __version__

    client = httpx2.Client(
        headers={"User-Agent": f"weightscape/{__version__}"},
        timeout=httpx2.Timeout(PATIENCE, connect=10.0),
    )
    atexit.register(client.close)
    return client
