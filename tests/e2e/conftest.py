"""What `headrace up` needs to run as processes on the session's servers."""

import pytest

from shared.sealing.keyring import generate_key


@pytest.fixture
def process_settings(
    empty_database_url: str, amqp_url: str, redis_url: str, bus_prefix: str, redis_prefix: str
) -> dict[str, str]:
    """HEADRACE_… variables without their prefix, for `headrace_up`: a database, queues and keys of the test's own."""
    return {
        "database_url": empty_database_url,
        "amqp_url": amqp_url,
        "redis_url": redis_url,
        "amqp_prefix": bus_prefix,
        "redis_prefix": redis_prefix,
        "master_keys": generate_key("test"),
        "requests_per_minute": "100000",  # a test that looks often is not what the limit is for
    }
