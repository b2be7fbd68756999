"""The gateway's API for commands: where it is, one call, all pages of a list, a run until it ends."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from shared.config import SettingsModel, load
from shared.contracts.ids import FINISHED
from shared.storage.run_views import RunView

DEFAULT_DATA_DIR = Path(".headrace")
ENDPOINTS_FILE = "endpoints.json"
TIMEOUT_SECONDS = 70.0
"""Longer than a connection test may take."""
RECONNECT_SECONDS = 1.0
RECONNECTS = 30

_Model = TypeVar("_Model", bound=BaseModel)
Query = dict[str, str]


class ClientError(Exception):
    """A sentence for the person at the terminal, and what to do. `status`: of the answer; None: there was none."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status


class ClientSettings(SettingsModel):
    """HEADRACE_URL and HEADRACE_TOKEN."""

    url: str = ""
    token: SecretStr = SecretStr("")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway and who calls it."""

    url: str
    token: str = field(repr=False)


class _EndpointsFile(BaseModel):
    gateway_url: str
    token: str | None = None


class _Problem(BaseModel):
    detail: str = "The gateway refused the request."
    hint: str = ""


class _Page(BaseModel):
    items: list[dict[str, JsonValue]]
    next_cursor: str | None


def find_endpoint(url: str | None, token: str | None, data_dir: Path | None) -> Endpoint:
    """Options, then the environment, then what `headrace up` wrote. Raises ClientError when none says where."""
    settings = load(ClientSettings)
    url, token = url or settings.url, token or settings.token.get_secret_value()
    if not url or not token:
        file = (data_dir or DEFAULT_DATA_DIR) / ENDPOINTS_FILE
        local = _read(file)
        if local is not None and (not url or url.rstrip("/") == local.gateway_url.rstrip("/")):
            url, token = local.gateway_url, token or local.token or ""
    if not url:
        raise ClientError(
            "No running Headrace was found.", hint="Start one with `headrace up`, or give --url (HEADRACE_URL)."
        )
    if not token:
        raise ClientError("There is no token for the gateway.", hint="Give --token (HEADRACE_TOKEN).")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ClientError("The gateway's URL is not an http(s) address.")
    return Endpoint(url.rstrip("/"), token)


def _read(file: Path) -> _EndpointsFile | None:
    try:
        return _EndpointsFile.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise ClientError(f"{file} cannot be read.", hint="Is it from a running `headrace up`, and yours?") from None


class GatewayClient:
    """Blocking: a command does one thing at a time."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._endpoint = endpoint
        self._timeout = timeout

    def get(self, model: type[_Model], path: str, **query: str) -> _Model:
        """One object. Raises ClientError."""
        return self._parsed(model, self._call("GET", path, query=query))

    def post(self, model: type[_Model], path: str, body: BaseModel | dict[str, JsonValue] | None = None) -> _Model:
        """Ask for something. Raises ClientError."""
        sent = body.model_dump(mode="json", exclude_none=True) if isinstance(body, BaseModel) else body
        return self._parsed(model, self._call("POST", path, body=sent or {}))

    def items(self, model: type[_Model], path: str, *, limit: int | None = None, **query: str) -> Iterator[_Model]:
        """A list's items, page after page, at most `limit`."""
        cursor: str | None = None
        left = limit
        while True:
            asked = query | {"limit": str(min(left or 500, 500))} | ({"cursor": cursor} if cursor else {})
            page = self.get(_Page, path, **asked)
            for item in page.items:
                yield self._valid(model, item)
            left = None if left is None else left - len(page.items)
            cursor = page.next_cursor
            if cursor is None or (left is not None and left <= 0):
                return

    def follow(self, run_id: UUID) -> Iterator[RunView]:
        """The run at each change, the finished one last. A gateway that restarts is asked again for half a minute."""
        failures = 0
        while True:
            try:
                for run in self._events(run_id):
                    failures = 0
                    yield run
                    if run.status in FINISHED:
                        return
            except ClientError as error:
                if error.status is not None or failures >= RECONNECTS:
                    raise
            failures += 1
            threading.Event().wait(RECONNECT_SECONDS)

    def _events(self, run_id: UUID) -> Iterator[RunView]:
        connection = self._connection()
        try:
            response = self._send(connection, "GET", f"/api/runs/{run_id}/events", None)
            if response.status != 200:
                raise _refusal(response.status, response.read())
            for line in response:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name == "data":
                    yield RunView.model_validate_json(value)
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _call(
        self, method: str, path: str, *, query: Query | None = None, body: dict[str, JsonValue] | None = None
    ) -> bytes:
        connection = self._connection()
        try:
            response = self._send(connection, method, path + (f"?{urlencode(query)}" if query else ""), body)
            answer = response.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        if response.status >= 300:
            raise _refusal(response.status, answer)
        return answer

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self._endpoint.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.netloc.rpartition("@")[2], timeout=self._timeout)

    def _send(
        self, connection: HTTPConnection, method: str, path: str, body: dict[str, JsonValue] | None
    ) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {self._endpoint.token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection.request(method, urlsplit(self._endpoint.url).path + path, data, headers)
        return connection.getresponse()

    def _unreachable(self, error: Exception) -> ClientError:
        return ClientError(
            f"The gateway at {self._endpoint.url} cannot be reached ({type(error).__name__}).",
            hint="Is it running, and is the address right?",
        )

    def _parsed(self, model: type[_Model], answer: bytes) -> _Model:
        try:
            return model.model_validate_json(answer)
        except ValidationError:
            raise self._strange() from None

    def _valid(self, model: type[_Model], item: dict[str, JsonValue]) -> _Model:
        try:
            return model.model_validate(item)
        except ValidationError:
            raise self._strange() from None

    def _strange(self) -> ClientError:
        return ClientError(
            f"What answers at {self._endpoint.url} is not this version's gateway.", hint="Check --url and the versions."
        )


def _refusal(status: int, answer: bytes) -> ClientError:
    try:
        problem = _Problem.model_validate_json(answer)
    except ValidationError:
        problem = _Problem()
    return ClientError(problem.detail, hint=problem.hint, status=status)
