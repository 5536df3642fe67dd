"""The S3 client of this process, made as the settings and boto3's own configuration say."""

import os
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from farm.errors import UserError
from farm.settings import Settings

__all__ = ["ATTEMPTS", "Connection"]

ATTEMPTS = 5
"""How often a request is tried before it fails."""

_CONNECT_SECONDS = 10
_CONNECTIONS = 32


class Connection:
    """One client for all threads of a process; a forked process makes its own.

    read_seconds: how long the server may be silent in the middle of an answer.
    """

    def __init__(self, read_seconds: float = 60) -> None:
        self._read_seconds = read_seconds
        self._settings = Settings()
        self._client: Any = None
        self._process = 0
        self._making = Lock()

    @property
    def client(self) -> Any:
        """The client. Raises UserError if it is configured wrongly."""
        if self._process != os.getpid():
            self._making, self._client, self._process = Lock(), None, os.getpid()
        with self._making:
            if self._client is None:
                self._client = self._make()
            return self._client

    def _make(self) -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError

        style = self._settings.s3_path_style
        try:
            session = boto3.Session()
            client = self._connect(session, is_path_style=bool(style))
            host = urlsplit(client.meta.endpoint_url).hostname or ""
            if style is None and not host.endswith(".amazonaws.com"):
                client = self._connect(session, is_path_style=True)
        except (BotoCoreError, ValueError) as error:
            text = " ".join(str(error).split())
            raise UserError(f"S3 is configured wrongly: {text}; see FARM_S3_ENDPOINT") from error
        return client

    def _connect(self, session: Any, *, is_path_style: bool) -> Any:
        from botocore.config import Config

        config = Config(
            s3={"addressing_style": "path" if is_path_style else "auto"},
            # checksums in trailers are refused by servers that are not Amazon's
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=self._read_seconds,
            max_pool_connections=_CONNECTIONS,
        )
        region = session.region_name or "us-east-1"
        endpoint = self._settings.s3_endpoint or None
        return session.client("s3", region_name=region, endpoint_url=endpoint, config=config)
