"""Routes for who runs the deployment: everything below /api/ops asks for an administrator."""

from typing import Annotated

from fastapi import APIRouter, Depends

from services.gateway.auth import CurrentIdentity
from services.gateway.identity import Identity
from services.gateway.problems import ProblemError


async def current_admin(identity: CurrentIdentity) -> Identity:
    """The caller, who is an administrator. Raises a 403 problem."""
    if not identity.is_admin:
        raise ProblemError(
            403,
            "forbidden",
            "This is for administrators.",
            category="AUTH_FAILED",
            hint="An administrator's token has `headrace_role` = `admin` in its `app_metadata`.",
        )
    return identity


CurrentAdmin = Annotated[Identity, Depends(current_admin)]


def operations_router() -> APIRouter:
    """A router below /api/ops whose routes cannot forget to ask."""
    return APIRouter(prefix="/api/ops", tags=["operations"], dependencies=[Depends(current_admin)])
