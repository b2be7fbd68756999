"""The embedded servers of `headrace up --embedded` and `make demo`: PostgreSQL and Valkey from wheels."""

from services.cli.stack.servers import EmbeddedServers

__all__ = ["EmbeddedServers"]
