"""Settings from environment variables, and values derived from them."""

import os
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a URL begins, also one with too few slashes."""


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
    cache: Path | None = Field(
        None, description="Folder, on a disk of this machine, for copies of files at URLs."
    )
    cache_bytes: int = Field(
        20_000_000_000, ge=0, description="Most bytes to keep there, apart from files in use."
    )
    s3_endpoint: str = Field("", description="URL of an S3 server other than Amazon's.")
    s3_path_style: bool | None = Field(
        None, description="Whether the bucket goes into the path of an S3 server's URLs."
    )

    presets: Path | None = Field(
        None, description="TOML file of presets: [dream.mine] with parameters in it."
    )

    server: str = Field("", description="URL of the farm that jobs are submitted to.")
    token: SecretStr = Field(SecretStr(""), description="Token for that farm.")

    @field_validator("block_plugins", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if isinstance(names, str):
            return frozenset(name.strip() for name in names.split(",") if name.strip())
        return names

    @property
    def cache_folder(self) -> Path:
        """The folder for copies of files at URLs."""
        if self.cache:
            return self.cache.expanduser().absolute()
        from platformdirs import user_cache_path

        return user_cache_path("farm", appauthor=False) / "copies"

    @property
    def presets_path(self) -> Path:
        """The file of the user's own presets, which need not exist."""
        if self.presets:
            return self.presets.expanduser().absolute()
        from platformdirs import user_config_path

        return user_config_path("farm", appauthor=False) / "presets.toml"

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file; None if FARM_LEDGER looks like a URL."""
        if _URL.match(self.ledger):
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
