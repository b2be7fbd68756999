"""The proof: a server that counts for itself never sees more than the limit, and nearly all of the limit is used."""

import pytest
from limiter_rig import Rig
from strict_server import besiege


async def test_four_hungry_processes_use_the_budget_and_never_exceed_it(rig: Rig, redis_url: str) -> None:
    count = await besiege(redis_url, rig.prefix, limit=120, seconds=6.0, duration=18.0)
    print(count)
    assert count.violations == 0, count
    assert count.worst_window <= 120
    assert count.utilisation >= 0.95, count
    assert len(count.per_process) == 4
    assert count.per_process[0] > count.arrivals / 4 * 0.4, count  # who is first takes the first burst


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_a_real_minute(rig: Rig, redis_url: str) -> None:
    count = await besiege(redis_url, rig.prefix, limit=120, seconds=60.0, duration=300.0)
    print(count)
    assert count.violations == 0, count
    assert count.utilisation >= 0.95, count
