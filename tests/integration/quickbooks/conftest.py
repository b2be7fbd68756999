from collections.abc import AsyncIterator

import pytest
from company_rig import CompanyRig, running_company

from pipeline import Pipeline, running_pipeline


@pytest.fixture
async def pipeline(database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Pipeline]:
    async with running_pipeline(database_url, redis_url, redis_prefix) as running:
        yield running


@pytest.fixture
async def company(pipeline: Pipeline) -> AsyncIterator[CompanyRig]:
    """A small company without limits, connected to a source."""
    async with running_company(pipeline) as rig:
        yield rig
