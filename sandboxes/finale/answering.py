"""How Finale words its answers: JSON where it works, HTML or plain text where it does not."""

from typing import Any

from aiohttp import web

from sandboxes.data.documents import encode

_LOGIN_PAGE = (
    '<!DOCTYPE html><html><head><title>Finale Inventory - Sign in</title></head><body><form method="post">'
    '<input name="username"/><input name="password" type="password"/></form></body></html>'
)


def json_answer(value: Any) -> web.Response:
    """A good answer; decimals keep their digits."""
    return web.Response(body=encode(value), content_type="application/json", charset="utf-8")


def refused(message: str) -> web.Response:
    """A 400 that explains itself. Its shape is not known; this is one that clients have met."""
    return web.Response(body=encode({"errorMessage": message}), status=400, content_type="application/json")


def not_found(path: str) -> web.Response:
    """The 404 as it was seen: HTML with CRLF, and every character of the path as a numeric entity."""
    entities = "".join(f"&#{ord(character)};" for character in path)
    text = (
        "<html>\r\n<title> Not Found </title>\r\n<body>\r\n<h2> Not Found </h2>\r\n"
        f"<p>The requested URL {entities} was not found on the server.</p>\r\n</body>\r\n</html>\r\n"
    )
    return web.Response(text=text, status=404, content_type="text/html")


def unauthorized() -> web.Response:
    """The answer to a wrong key; its body is not known, only that it is 401."""
    headers = {"WWW-Authenticate": 'Basic realm="Finale"'}
    return web.Response(
        text="<html><title> Unauthorized </title></html>", status=401, headers=headers, content_type="text/html"
    )


def login_page() -> web.Response:
    """What a report's address gives to a stranger: 200 and the page to sign in."""
    return web.Response(text=_LOGIN_PAGE, content_type="text/html")


def too_many(headers: dict[str, str]) -> web.Response:
    """A 429; its body was found in no source, so it is short and no JSON."""
    return web.Response(text="Too Many Requests", status=429, headers=headers)


def wrong_method() -> web.Response:
    """Finale has GET and POST only."""
    return web.Response(text="<html><title> Method Not Allowed </title></html>", status=405, content_type="text/html")
