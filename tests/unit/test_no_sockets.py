"""The guard of this folder's conftest."""

import asyncio
import socket

import pytest


def test_a_network_socket_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="opened a network socket"):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


async def test_a_connection_of_the_event_loop_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="opened a network socket"):
        await asyncio.open_connection("127.0.0.1", 9)


def test_a_local_pair_is_no_network() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"x")
        assert theirs.recv(1) == b"x"
