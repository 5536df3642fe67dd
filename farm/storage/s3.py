"""Buckets of S3, Amazon's or another server's, as a scheme: ``s3://bucket/key``."""

import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError

from farm.errors import BadOutput, InputChanged, StorageFailed
from farm.storage.s3_client import ATTEMPTS, Connection
from farm.storage.s3_errors import is_absent, s3_error, status_of, translated_s3_errors
from farm.storage.s3_uploads import Upload, abort_uploads, stat_of
from farm.storage.scheme import Entry, Scheme, Stat
from farm.storage.urls import url_fault

__all__ = ["S3"]

_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{3,255}")
_KEY_BYTES: Final = 1024
_RANGE_BYTES: Final = 64 * 2**20
"""Most bytes that one request reads."""

_BLOCK_BYTES: Final = 2**20
_PAUSE_SECONDS: Final = 0.5
_BATCH: Final = 1000
"""Most objects that one request lists or removes, as S3 limits it."""

_DEAD_SECONDS: Final = 24 * 3600.0
"""Age from which an upload that was not completed has no writer."""


class S3(Scheme):
    """Objects by bucket and key. A folder is the start of keys, up to a slash."""

    def __init__(self, connection: Connection | None = None) -> None:
        self._connection = connection or Connection()
        self._known_buckets: set[str] = set()

    @property
    def _client(self) -> Any:
        return self._connection.client

    def fault(self, url: str) -> str:
        where = _where(url)
        if not _BUCKET.fullmatch(where["Bucket"]):
            return "must begin with s3:// and the name of a bucket; check the name"
        if len(where["Key"].encode()) > _KEY_BYTES:
            return f"its key may have {_KEY_BYTES} bytes at most; choose a shorter name"
        return ""

    def stat(self, url: str) -> Stat | None:
        where = _where(url)
        with translated_s3_errors(url):
            try:
                return stat_of(self._client.head_object(**where)) if where["Key"] else None
            except ClientError as error:
                if not is_absent(error):
                    raise
                self._find_bucket(where["Bucket"])
                return None

    def _find_bucket(self, bucket: str) -> None:
        """Raise ClientError if there is no such bucket, which HEAD does not tell from no object."""
        if bucket not in self._known_buckets:
            self._client.list_objects_v2(Bucket=bucket, MaxKeys=1)
            self._known_buckets.add(bucket)

    def entries(self, folder: str, starts: str = "") -> Iterator[Entry]:
        for page in self._pages(folder, starts, Delimiter="/"):
            for inner in page.get("CommonPrefixes", ()):
                url = f"{_root(folder)}{inner['Prefix']}"
                if not url_fault(url):
                    yield Entry(url, is_folder=True)
            yield from _files(folder, page)

    def files_below(self, folder: str) -> Iterator[Entry]:
        for page in self._pages(folder):
            yield from _files(folder, page)

    def _pages(self, folder: str, starts: str = "", **options: str) -> Iterator[Mapping[str, Any]]:
        where = _where(folder)
        paginator = self._client.get_paginator("list_objects_v2")
        with translated_s3_errors(folder):
            yield from paginator.paginate(
                Bucket=where["Bucket"],
                Prefix=where["Key"] + starts,
                PaginationConfig={"PageSize": _BATCH},
                **options,
            )

    def fetch(self, url: str, seen: Stat, target: Path) -> None:
        with target.open("ab") as copy:
            failures = 0
            while (start := copy.tell()) < seen.size:
                answer = self._open_range(url, seen, start)
                try:
                    with closing(answer["Body"]) as body:
                        for block in body.iter_chunks(_BLOCK_BYTES):
                            copy.write(block)
                except (HTTPClientError, IncompleteReadError) as error:
                    failures = 1 if copy.tell() > start else failures + 1
                    if failures == ATTEMPTS:
                        raise s3_error(url, error, is_output=False) from error
                    time.sleep(random.uniform(0, _PAUSE_SECONDS * 2**failures))

    def _open_range(self, url: str, seen: Stat, start: int) -> Mapping[str, Any]:
        """Ask for what follows in an object from a byte on, up to the end of a range."""
        asked = f"bytes={start}-{min(start + _RANGE_BYTES, seen.size) - 1}"
        try:
            answer: Mapping[str, Any] = self._client.get_object(
                **_where(url), IfMatch=seen.version, Range=asked
            )
        except ClientError as error:
            if status_of(error) in {412, 416}:
                raise InputChanged(url, "has changed") from error
            if is_absent(error):
                raise InputChanged(url, "was removed") from error
            raise s3_error(url, error, is_output=False) from error
        except BotoCoreError as error:
            raise s3_error(url, error, is_output=False) from error
        if not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
            raise StorageFailed(url, "the storage did not send the range that was asked for")
        return answer

    def put(self, url: str, source: Path, sha256: str, *, expected: str | None = None) -> Stat:
        where = _where(url)
        if not where["Key"]:
            raise BadOutput(url, "names a whole bucket; add the name of a file")
        return Upload(self._client, url, where, expected).put(source, sha256)

    def remove(self, url: str) -> None:
        with translated_s3_errors(url, is_output=True):
            self._client.delete_object(**_where(url))

    def remove_all(self, urls: Sequence[str]) -> None:
        keys: defaultdict[str, list[str]] = defaultdict(list)
        for url in urls:
            where = _where(url)
            keys[where["Bucket"]].append(where["Key"])
        for bucket, named in keys.items():
            with translated_s3_errors(f"s3://{bucket}", is_output=True):
                for start in range(0, len(named), _BATCH):
                    self._remove_some(bucket, named[start : start + _BATCH])

    def remove_folder(self, folder: str) -> None:
        super().remove_folder(folder)
        where = _where(folder)
        with translated_s3_errors(folder, is_output=True):
            abort_uploads(self._client, {"Bucket": where["Bucket"], "Prefix": where["Key"]})

    def _remove_some(self, bucket: str, keys: list[str]) -> None:
        listed = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            left = self._client.delete_objects(Bucket=bucket, Delete=listed).get("Errors", ())
        except ClientError as error:
            if status_of(error) not in {400, 501}:
                raise
            left = listed["Objects"]  # a server that wants another checksum, or one by one
        for each in left:
            self._client.delete_object(Bucket=bucket, Key=each["Key"])

    def remove_leftovers(self, folder: str) -> None:
        where = _where(folder)

        def is_dead(upload: Mapping[str, Any]) -> bool:
            is_directly_inside = "/" not in upload["Key"][len(where["Key"]) :]
            age = time.time() - upload["Initiated"].timestamp()
            return is_directly_inside and age > _DEAD_SECONDS

        with translated_s3_errors(folder, is_output=True):
            below = {"Bucket": where["Bucket"], "Prefix": where["Key"]}
            abort_uploads(self._client, below, is_dead)


def _where(url: str) -> dict[str, str]:
    bucket, _, key = url.partition("://")[2].partition("/")
    return {"Bucket": bucket, "Key": key}


def _root(url: str) -> str:
    return f"s3://{_where(url)['Bucket']}/"


def _files(folder: str, page: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the objects of a page, without markers of folders and keys that no URL can name."""
    for listed in page.get("Contents", ()):
        url = f"{_root(folder)}{listed['Key']}"
        if not listed["Key"].endswith("/") and not url_fault(url):
            version = listed["ETag"].strip('"')
            yield Entry(url, is_folder=False, size=listed["Size"], version=version)
