"""A Finale account of hand-written answers."""

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

from shared.connector_sdk.protocol import OnHeaders, Request, Response
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.messages import encode_json


class FakeClient:
    """Answers by path behind `/acme/api/`, else by the whole path; bytes as they are, and an exception is raised."""

    def __init__(self, answers: dict[str, Any], piece: int = 100_000) -> None:
        self._answers = answers
        self._piece = piece
        self.requests: list[Request] = []
        self.spool = SpoolSpace()

    async def send(self, request: Request) -> Response:
        return Response(200, {}, self._answer(request), request.url)

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        answer = self._answer(request)
        if on_headers is not None:
            on_headers({"content-type": "text/csv; charset=utf-8"})
        for start in range(0, len(answer), self._piece):
            yield answer[start : start + self._piece]

    def _answer(self, request: Request) -> bytes:
        self.requests.append(request)
        answer = self._answers[urlsplit(request.url).path.removeprefix("/acme/api/")]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else encode_json(answer)
