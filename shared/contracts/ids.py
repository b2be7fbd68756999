"""Identifiers as types, so that a source's id cannot be passed where a run's is due."""

from typing import Literal, NewType, get_args
from uuid import UUID

UserId = NewType("UserId", UUID)
SourceId = NewType("SourceId", UUID)
RunId = NewType("RunId", UUID)

Entity = Literal["inventory", "vendors", "purchase_orders"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)

Mode = Literal["incremental", "full"]
Trigger = Literal["manual", "schedule", "webhook", "external", "retry", "replay"]
RunStatus = Literal["queued", "running", "succeeded", "partial", "failed", "cancelled"]
ACTIVE: tuple[RunStatus, ...] = ("queued", "running")
FINISHED: tuple[RunStatus, ...] = ("succeeded", "partial", "failed", "cancelled")
WaitingOn = Literal["rate_limit", "retry", "broker"]
