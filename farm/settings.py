"""Settings from environment variables, and values derived from them."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Every variable the farm reads: ``FARM_`` plus the field's name in capitals."""

    model_config = SettingsConfigDict(
        alias_generator=lambda name: f"FARM_{name.upper()}",
        case_sensitive=True,
        env_ignore_empty=True,
        frozen=True,
    )

    plugins_dir: Path | None = Field(
        None, description="Folder of single-file plugins, as --plugins-dir."
    )
    block_plugins: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="Names of plugins not to load, separated by commas."
    )
    ledger: str = Field("", description="Ledger of jobs: a file or a database URL.")

    @field_validator("block_plugins", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if isinstance(names, str):
            return frozenset(name.strip() for name in names.split(",") if name.strip())
        return names

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file; None if FARM_LEDGER is a database URL."""
        if "://" in self.ledger:
            return None
        if self.ledger:
            return Path(self.ledger).expanduser().absolute()
        from platformdirs import user_state_path

        return user_state_path("farm", appauthor=False) / "ledger.db"

    @property
    def ledger_url(self) -> str:
        """The ledger's database URL."""
        path = self.ledger_path
        return self.ledger if path is None else f"sqlite:///{path}"


def available_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
