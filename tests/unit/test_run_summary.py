"""What the command tells of a run."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.cli.commands.runs import summary
from shared.contracts.ids import RunId, SourceId
from shared.storage.run_views import RunView


@pytest.mark.parametrize(
    ("hits", "told"), [(0, None), (1, "1 answer came from the cache"), (12, "12 answers came from the cache")]
)
def test_it_says_what_came_from_the_cache_and_how_to_pass_it_by(hits: int, told: str | None) -> None:
    run = RunView(
        id=RunId(UUID(int=1)), source_id=SourceId(UUID(int=2)), source_type="json_api", trigger="manual",
        mode="incremental", status="succeeded", waiting_on=None, resume_at=None, entities={}, api_calls=0,
        cache_hits=hits, error=None, requested_at=datetime(2026, 1, 1, tzinfo=UTC), started_at=None, finished_at=None,
    )  # fmt: skip
    text = summary(run)
    assert ("--force" in text) is (told is not None)
    assert told is None or told in text
