"""The fetcher's settings beside those of the platform (docs/operations.md)."""

from pydantic import DirectoryPath, Field, SecretStr

from shared.config import SettingsModel


class FetcherSettings(SettingsModel):
    """The private sealing keys live here and nowhere else."""

    master_keys: SecretStr = SecretStr("")
    egress_allow: str = ""
    fetch_workers: int = Field(default=8, ge=1, le=64)
    """Pages fetched at once by this process."""
    spool_dir: DirectoryPath | None = None
    """Where answers are kept on disk while they are read; unset: the system's place for temporary files."""
    cache_megabytes: int = Field(default=128, ge=0, le=1_048_576)
    """Of all vendors' answers that are kept in Redis together; 0 keeps none."""
