"""A process that refreshes a consent's token when it is told to, and dies by SIGKILL at the step that a round names.

Told by lines of JSON on stdin; answers with a line of JSON on stdout.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.clock import SystemClock
from shared.connector_sdk.oauth import AccessToken, OAuthApp, OAuthGrant
from shared.connector_sdk.token_keeper import TokenKeeper
from shared.contracts.ids import UserId
from shared.errors import HeadraceError
from shared.http.client import HttpAnswer, HttpClient
from shared.http.egress import EgressPolicy
from shared.http.hop import HttpRequest
from shared.observability.secrets import SecretRegistry
from shared.sealing.keyring import KeyRing
from shared.storage.database import Connection, Database, open_database


class Steps:
    """Where this process ends: the first of all processes that reaches the step is the one that dies there."""

    def __init__(self) -> None:
        self.fatal = ""
        self.mark = Path()

    def at(self, step: str) -> None:
        if step == self.fatal and self.first():
            os.kill(os.getpid(), signal.SIGKILL)

    def first(self) -> bool:
        with suppress(FileExistsError):
            os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
            self.mark.write_text(str(os.getpid()))
            return True
        return False


class WatchedDatabase:
    """The real one; what a transaction changed tells which step its commit is."""

    def __init__(self, db: Database, grant_id: UUID, steps: Steps) -> None:
        self._db = db
        self._grant_id = grant_id
        self._steps = steps

    @asynccontextmanager
    async def for_tenant(self, user_id: UserId) -> AsyncIterator[Connection]:
        changed = ""
        async with self._db.for_tenant(user_id) as conn:
            before = await self._state(conn)
            yield conn
            after = await self._state(conn)
            if after["version"] > before["version"]:
                changed = "store"
            elif after["attempt"] != before["attempt"]:
                changed = "mark"
            self._steps.at(f"before-{changed}")
        self._steps.at(f"after-{changed}")

    async def _state(self, conn: Connection) -> dict[str, Any]:
        row = await conn.fetchrow("select version, attempt from oauth_grants where id = $1", self._grant_id)
        return dict(row) if row is not None else {"version": 0, "attempt": None}


class WatchedHttp:
    """The real one."""

    def __init__(self, http: HttpClient, steps: Steps) -> None:
        self._http = http
        self._steps = steps

    async def send(self, request: HttpRequest) -> HttpAnswer:
        self._steps.at("before-call")
        if self._steps.fatal == "in-call":
            self._steps.first()  # whoever watches the vendor ends this process
        answer = await self._http.send(request)
        self._steps.at("after-reply")
        return answer


async def main() -> None:
    asked = json.loads(sys.stdin.readline())
    given = asked["grant"]
    app = OAuthApp("QuickBooks Online", given["client_id"], given["token_url"], given["account"])
    grant = OAuthGrant(
        id=UUID(given["id"]),
        user_id=UserId(UUID(given["user_id"])),
        used_by=UUID(given["used_by"]),
        app=app,
        client_secret=given["client_secret"],
        first_refresh_token=given["first_refresh_token"],
        origins=("http://127.0.0.1:80",),
    )
    steps, clock = Steps(), SystemClock()
    async with (
        open_database(asked["database_url"], role="headrace_fetcher") as db,
        HttpClient(EgressPolicy.parse("127.0.0.0/8"), clock) as http,
    ):
        keeper = TokenKeeper(
            WatchedDatabase(db, grant.id, steps),  # type: ignore[arg-type] # the one method that the keeper uses
            KeyRing.parse(asked["master_keys"]),
            WatchedHttp(http, steps),
            clock,
            SecretRegistry(),
            settle=asked["settle"],
        )
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            steps.fatal, steps.mark = order["fatal"], Path(order["mark"])
            refused = AccessToken(order["refused"], "")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_token(keeper, grant, refused)) for _ in range(order["tasks"])]
            print(json.dumps([task.result() for task in tasks]), flush=True)


async def _token(keeper: TokenKeeper, grant: OAuthGrant, refused: AccessToken) -> list[Any]:
    try:
        token = await keeper.token(grant, refused)
    except HeadraceError as error:
        return [0, f"{error.category}: {error.message}"]
    return [token.version, hashlib.sha256(token.value.encode()).hexdigest()]


asyncio.run(main())
