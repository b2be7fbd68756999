"""A unit test opens no socket."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from servers.provider import STARTING


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[None]:
    """Fails the test at the line that opens a network socket; the event loop's own pair is a local one."""
    opened = socket.socket.__init__

    def refuse(self: socket.socket, family: int = -1, *details: Any, **named: Any) -> None:
        wraps_an_open_one = len(details) > 2 or named.get("fileno") is not None
        # Servers for other tests of this process may be starting meanwhile, in threads of their own.
        starts_a_server = threading.current_thread().name.startswith(STARTING)
        if not wraps_an_open_one and not starts_a_server and family in {-1, socket.AF_INET, socket.AF_INET6}:
            pytest.fail("a unit test opened a network socket: pass a fake in, or move it to tests/integration")
        opened(self, family, *details, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "__init__", refuse)
        yield
