"""Writes objects whole or not at all, and only in place of what is expected.

Each object carries the SHA-256 of its content and the name of its writer. The name tells, when the
answer to a request was lost, whether the request was carried out all the same.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from farm.errors import OutputReplaced
from farm.storage.s3_errors import code_of, is_absent, s3_error, status_of
from farm.storage.scheme import ABSENT, Stat

__all__ = ["Upload", "abort_uploads", "stat_of"]

WHOLE_BYTES: Final = 64 * 2**20
"""Largest object that is written by a single request."""

PART_BYTES: Final = 16 * 2**20
_MOST_PARTS: Final = 10_000
_THREADS: Final = 4
"""Parts that are sent at the same time."""

_SHA256: Final = "farm-sha256"
_WRITER: Final = "farm-writer"


def stat_of(head: Mapping[str, Any]) -> Stat:
    """Return what the answer to a HEAD request says about an object."""
    sha256 = head["Metadata"].get(_SHA256, "")
    modified = head["LastModified"].timestamp()
    return Stat(head["ContentLength"], head["ETag"].strip('"'), modified, sha256)


class Upload:
    """One object that is written. where: its Bucket and Key. expected: as in Scheme.put."""

    def __init__(
        self, client: Any, url: str, where: Mapping[str, str], expected: str | None
    ) -> None:
        self._client, self._url, self._where = client, url, where
        self._expected = expected
        self._writer = secrets.token_hex(8)

    def put(self, source: Path, sha256: str) -> Stat:
        """Write a local file. Raises OutputReplaced, BadOutput, StorageUnavailable."""
        size = source.stat().st_size
        metadata = {_WRITER: self._writer} | ({_SHA256: sha256} if sha256 else {})
        write = self._put_whole if size <= WHOLE_BYTES else self._put_in_parts
        try:
            return write(source, size, metadata)
        except (BotoCoreError, ClientError) as error:
            if _is_unclear(error) and (written := self._found()):
                return written
            if _is_replaced(error):
                raise self._replaced() from error
            raise s3_error(self._url, error, is_output=True) from error

    def _put_whole(self, source: Path, size: int, metadata: Mapping[str, str]) -> Stat:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, _md5).digest()

            def put(conditions: Mapping[str, str]) -> Any:
                file.seek(0)
                return self._client.put_object(
                    **self._where,
                    **conditions,
                    Body=file,
                    ContentMD5=base64.b64encode(digest).decode(),
                    Metadata=metadata,
                )

            answer = self._on_condition(put)
        moment = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        version = answer["ETag"].strip('"')
        return Stat(size, version, moment.timestamp(), metadata.get(_SHA256, ""))

    def _on_condition(self, request: Callable[[Mapping[str, str]], Any]) -> Any:
        """Make a request that replaces only what is expected.

        Servers differ. Amazon's takes an ETag with or without quotes, Ceph's only without, and some
        have no conditions; then the object is looked at just before.
        """
        if self._expected is None:
            return request({})
        bare = {"IfMatch": self._expected} if self._expected else {"IfNoneMatch": "*"}
        try:
            return request(bare)
        except ClientError as error:
            if status_of(error) == 501:
                self.check()
                return request({})
            if status_of(error) != 412 or not self._expected or self._version() != self._expected:
                raise
        return request({"IfMatch": f'"{self._expected}"'})

    def _put_in_parts(self, source: Path, size: int, metadata: Mapping[str, str]) -> Stat:
        if self._expected is not None:
            self.check()
            abort_uploads(self._client, self._where)
        upload = self._client.create_multipart_upload(**self._where, Metadata=metadata)["UploadId"]
        try:
            parts = self._send_parts(source, size, upload)
            if self._expected is not None:
                self.check()  # some servers ignore conditions here

            def complete(conditions: Mapping[str, str]) -> Any:
                return self._client.complete_multipart_upload(
                    **self._where, **conditions, UploadId=upload, MultipartUpload={"Parts": parts}
                )

            self._on_condition(complete)
        except BaseException:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._where, UploadId=upload)
            raise
        written = self._own()
        if written is None:  # by now
            raise self._replaced()
        return written

    def _send_parts(self, source: Path, size: int, upload: str) -> list[dict[str, object]]:
        part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))

        def send(start: int) -> dict[str, object]:
            with source.open("rb") as file:
                file.seek(start)
                content = file.read(part_bytes)
            number = start // part_bytes + 1
            answer = self._client.upload_part(
                **self._where,
                UploadId=upload,
                PartNumber=number,
                Body=content,
                ContentMD5=base64.b64encode(_md5(content).digest()).decode(),
            )
            return {"PartNumber": number, "ETag": answer["ETag"]}

        with ThreadPoolExecutor(_THREADS, "farm-upload") as pool:
            sent = [pool.submit(send, start) for start in range(0, size, part_bytes)]
            try:
                return [part.result() for part in sent]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def check(self) -> None:
        """Raise OutputReplaced if something else than expected is there."""
        if self._version() != self._expected:
            raise self._replaced()

    def _version(self) -> str:
        head = self._head()
        return stat_of(head).version if head else ABSENT

    def _own(self) -> Stat | None:
        """Return the object if it is this writer's; None if it is another's, or none."""
        head = self._head()
        is_own = head is not None and head["Metadata"].get(_WRITER) == self._writer
        return stat_of(head) if head and is_own else None

    def _found(self) -> Stat | None:
        """Return the object if it is certainly this writer's."""
        with suppress(BotoCoreError, ClientError):
            return self._own()
        return None

    def _head(self) -> Mapping[str, Any] | None:
        try:
            head: Mapping[str, Any] = self._client.head_object(**self._where)
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return head

    def _replaced(self) -> OutputReplaced:
        return OutputReplaced(self._url, "another worker has written it meanwhile")


def abort_uploads(
    client: Any,
    where: Mapping[str, str],
    is_dead: Callable[[Mapping[str, Any]], bool] | None = None,
) -> None:
    """Abort uploads that were begun and not completed.

    where: Bucket and Key, of one object; or with Prefix in place of Key, of all below it. is_dead:
    says of an upload whether to abort it.
    """
    wanted = where.get("Key")
    prefix = wanted or where["Prefix"]
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=where["Bucket"], Prefix=prefix
    )
    for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
        is_meant = wanted in {None, upload["Key"]}
        if is_meant and (is_dead is None or is_dead(upload)):
            with suppress(ClientError):
                client.abort_multipart_upload(
                    Bucket=where["Bucket"], Key=upload["Key"], UploadId=upload["UploadId"]
                )


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _is_unclear(error: Exception) -> bool:
    """Return whether a request may have been carried out although it failed."""
    return not isinstance(error, ClientError) or _is_replaced(error) or status_of(error) >= 500


def _is_replaced(error: Exception) -> bool:
    """Return whether an error says that a condition does not hold, or that the upload is gone."""
    if not isinstance(error, ClientError):
        return False
    return status_of(error) in {409, 412} or code_of(error) in {"NoSuchKey", "NoSuchUpload"}
