"""Mappings: try one before it is saved."""

from fastapi import APIRouter

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.models import MappingPreview, PreviewAsked
from services.gateway.previewing import preview

router = APIRouter(prefix="/api/mappings", tags=["mappings"])


@router.post("/preview")
async def try_mapping(body: PreviewAsked, identity: CurrentIdentity, deps: Deps) -> MappingPreview:
    """A raw sample beside the rows that the mapping makes of it, with every field's error. Nothing is saved.

    200 also when it fails: `ok` tells. Without `mapping` the connector's default is tried.
    """
    return await preview(deps, identity.user_id, body)
