from types import SimpleNamespace

import httpx2
import pytest

from weightscape.errors import BadCheckpoint
from weightscape.io import asking
from weightscape.io.asking import Traffic, asked
from weightscape.io.trying import Broken

URL = "https://hub.example/org/name/model.safetensors"


@pytest.fixture
def answers(monkeypatch):
    """Answer by URL instead of a server; keep what was asked."""
    played = SimpleNamespace(by_url={}, asked=[])

    def play(request):
        played.asked.append(request)
        status, headers = played.by_url[str(request.url)]
        return httpx2.Response(status, headers=headers, stream=httpx2.ByteStream(b"body"))

    client = httpx2.Client(transport=httpx2.MockTransport(play))
    monkeypatch.setattr(asking, "_client", lambda process: client)
    return played


def ask(token=None, **how):
    traffic = Traffic()
    with asked(URL, {}, token=token, traffic=traffic, **how) as answer:
        body = b"".join(answer.pieces)
    return answer, body, traffic


@pytest.mark.parametrize(
    ("to", "goes"),
    [
        ("https://hub.example/other", True),
        ("/relative", True),
        ("https://hub.example:444/other", False),
        ("https://cdn.example/other", False),
        ("https://sub.hub.example/other", False),
    ],
)
def test_a_token_goes_to_its_own_server_alone(answers, to, goes):
    led = to if to.startswith("https") else f"https://hub.example{to}"
    answers.by_url = {URL: (302, {"Location": to}), led: (200, {})}
    answer, body, traffic = ask(token="secret")
    assert (answer.url, body, traffic.requests, traffic.bytes_read) == (led, b"body", 2, 4)
    assert answers.asked[0].headers["authorization"] == "Bearer secret"
    assert ("authorization" in answers.asked[1].headers) is goes


def test_a_token_is_not_sent_where_it_was_led_before(answers):
    answers.by_url = {"https://cdn.example/x": (200, {})}
    ask(token="secret", led_to="https://cdn.example/x")
    assert "authorization" not in answers.asked[0].headers


def test_nothing_is_asked_without_encryption_after_a_redirect(answers):
    answers.by_url = {URL: (301, {"Location": "http://hub.example/other"})}
    with pytest.raises(BadCheckpoint, match="without encryption"):
        ask()
    assert len(answers.asked) == 1


@pytest.mark.parametrize(
    ("told", "wait"), [("7", 7.0), ("-1", 0.0), ("soon", 0.0), ("9" * 9, 0.0), ("", 0.0)]
)
def test_how_long_a_busy_server_wants_to_be_left_alone(answers, told, wait):
    answers.by_url = {URL: (503, {"Retry-After": told})}
    with pytest.raises(Broken) as raised:
        ask()
    assert raised.value.wait == wait
