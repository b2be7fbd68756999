"""What a redirect does with method, body and secrets."""

import pytest

from shared.errors import ConfigurationError
from shared.http.hop import Hop, HttpRequest

CANARY = "s3cr3t-canary"


def first(url: str = "https://a.example/items?x=1", **more: object) -> Hop:
    fields: dict[str, object] = {
        "method": "GET",
        "url": url,
        "secret_headers": {"Authorization": f"Bearer {CANARY}"},
        "secret_params": {"api_key": CANARY + "2"},
    }
    return Hop.first(HttpRequest(**(fields | more)))  # type: ignore[arg-type] # a builder: the fields are HttpRequest's


def test_secrets_travel_to_the_first_origin_and_are_in_no_repr() -> None:
    hop = first(params=(("q", "a+b c"), ("api_key", "visible")))

    assert str(hop.wire_url()) == f"https://a.example/items?x=1&q=a%2Bb+c&api_key={CANARY}2"
    assert hop.wire_headers()["Authorization"] == f"Bearer {CANARY}"
    assert CANARY not in repr(hop)
    assert CANARY not in str(hop.url)


def test_a_secret_header_wins_over_a_visible_one() -> None:
    assert first(headers={"authorization": "mine", "A": "b"}).wire_headers() == {
        "A": "b",
        "Authorization": f"Bearer {CANARY}",
    }


@pytest.mark.parametrize("location", ["/elsewhere", "https://A.example:443/elsewhere", f"/elsewhere?api_key={CANARY}2"])
def test_the_same_origin_gets_them_again_once(location: str) -> None:
    hop = first().redirected(302, location)

    assert not hop.strayed
    assert str(hop.wire_url()) == f"https://a.example/elsewhere?api_key={CANARY}2"
    assert "Authorization" in hop.wire_headers()
    assert CANARY not in str(hop.url)


@pytest.mark.parametrize(
    "location",
    [
        "https://b.example/x",
        "https://a.example:8443/x",
        "https://sub.a.example/x",
        "//b.example/x",
        f"https://b.example/x?api_key={CANARY}2",
        f"https://b.example/x?renamed={CANARY}",
    ],
)
def test_another_origin_gets_none_not_even_echoed_ones(location: str) -> None:
    hop = first().redirected(307, location)

    assert hop.strayed
    assert CANARY not in f"{hop.wire_url()} {hop.wire_headers()}"
    assert hop.wire_url().path == "/x"


def test_who_strayed_gets_no_secrets_back_at_home() -> None:
    home = first().redirected(302, "https://b.example/").redirected(302, "https://a.example/items")

    assert CANARY not in f"{home.wire_url()} {home.wire_headers()}"


def test_who_strayed_gets_none_on_the_next_path_there_either() -> None:
    there = first().redirected(302, "https://b.example/").redirected(302, f"/next?key={CANARY}")

    assert CANARY not in f"{there.wire_url()} {there.wire_headers()}"


def test_a_redirect_with_the_secret_hidden_in_its_path_is_not_followed() -> None:
    with pytest.raises(ConfigurationError, match="credentials in the URL") as caught:
        first().redirected(302, f"https://b.example/{CANARY}/x")
    assert CANARY not in caught.value.message


def test_https_is_not_left_for_http_with_secrets() -> None:
    with pytest.raises(ConfigurationError, match="plain http"):
        first().redirected(302, "http://a.example/items")
    without = first(secret_headers={}, secret_params={}).redirected(302, "http://a.example/items")
    assert without.strayed


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [("GET", 301, "GET"), ("POST", 301, "GET"), ("POST", 302, "GET"), ("POST", 303, "GET"), ("POST", 308, "POST")],
)
def test_methods_change_as_in_browsers(method: str, status: int, expected: str) -> None:
    hop = first(method=method, body=b"x", headers={"content-type": "text/plain"}).redirected(status, "/y")

    assert hop.method == expected
    assert (hop.body is None) == (expected != method)
    assert ("content-type" in hop.headers) == (expected == method)


def test_a_body_goes_to_no_other_origin() -> None:
    with pytest.raises(ConfigurationError, match="body"):
        first(method="POST", body=b"refresh_token=x").redirected(307, "https://b.example/token")


@pytest.mark.parametrize("location", ["ftp://a.example/", "http://u:p@a.example/", "http://127.1/"])
def test_redirects_to_what_is_no_url_end_the_call(location: str) -> None:
    with pytest.raises(ConfigurationError):
        first(secret_headers={}, secret_params={}).redirected(302, location)
