"""The scheduler's settings beside those of the platform (docs/operations.md)."""

from pydantic import Field

from shared.config import SettingsModel


class SchedulerSettings(SettingsModel):
    """All in seconds."""

    tick_seconds: float = Field(default=1.0, gt=0, le=60)
    """Between two looks for due sources."""
    stall_seconds: float = Field(default=120.0, ge=1, le=86_400)
    """Without progress for this long, and waiting for nothing, a run is restarted from what is committed."""
