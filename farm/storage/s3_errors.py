"""Errors of S3 as the farm's own. They depend on codes and statuses: many servers send no text."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectionError,  # noqa: A004 - not Python's, which boto3 does not raise
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from farm.errors import (
    BadInput,
    BadOutput,
    FarmError,
    StorageFailed,
    StorageFull,
    StorageUnavailable,
)

__all__ = ["code_of", "is_absent", "s3_error", "status_of", "translated_s3_errors"]

_KEYS: Final = "the storage refuses the keys; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_NO_KEYS: Final = (
    "there are no keys for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
)
_DENIED: Final = "the storage denies access; check the keys and what they permit"
_READ_ONLY: Final = "the storage does not let these keys write there; check what they permit"
_REGION: Final = "the bucket is in another region; set AWS_DEFAULT_REGION"

_REFUSALS: Final = MappingProxyType(
    {
        "AuthorizationHeaderMalformed": _REGION,
        "IllegalLocationConstraintException": _REGION,
        "InvalidAccessKeyId": _KEYS,
        "InvalidBucketName": "the name of the bucket is invalid; check it",
        "InvalidToken": _KEYS,
        "KeyTooLongError": "its name is too long; choose a shorter one",
        "NoSuchBucket": "there is no such bucket; create it, or check its name and FARM_S3_ENDPOINT",
        "PermanentRedirect": _REGION,
        "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
        "SignatureDoesNotMatch": _KEYS,
        "UserSuspended": _DENIED,
    }
)
"""What the user can do, by the server's code."""

_MISTAKES: Final = MappingProxyType(
    {
        NoCredentialsError: _NO_KEYS,
        PartialCredentialsError: _NO_KEYS,
        ParamValidationError: "is no URL that S3 can have; check the name of the bucket",
        SSLError: "the certificate of the storage is not trusted; set AWS_CA_BUNDLE",
    }
)
"""What the user can do, by boto3's error."""

_FULL: Final = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientStorage",
        "QuotaExceeded",
        "ServiceQuotaExceeded",
        "XAmzStorageQuotaExceeded",
        "XMinioStorageFull",
    }
)
_NO_ROOM: Final = 507
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_THROTTLED: Final = frozenset({"SlowDown", "TooManyRequests"})
_TRANSIENT: Final = _THROTTLED | {"RequestTimeout", "BadDigest"}
_BUSY: Final = frozenset({429, 502, 503, 504})
"""Statuses that tell of a whole server, or of a proxy that does not reach it."""

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


def code_of(error: ClientError) -> str:
    """Return the server's code for an error, such as NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an error; 0 if it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_absent(error: ClientError) -> bool:
    """Return whether an error says that there is no such object."""
    return status_of(error) == 404 and code_of(error) in _ABSENT


def s3_error(url: str, error: Exception, *, is_output: bool) -> FarmError:
    """Return the farm error for one of boto3. It contains neither the server's text nor any key."""
    refusal = _refusal(error)
    if refusal == _DENIED and is_output:
        refusal = _READ_ONLY
    if refusal:
        is_bucket = isinstance(error, ClientError) and code_of(error) == "NoSuchBucket"
        return (BadOutput if is_output else BadInput)(_bucket(url) if is_bucket else url, refusal)
    if is_output and _is_full(error):
        return StorageFull(url, _trouble(error))
    is_everywhere = is_output or _is_everywhere(error)
    return (StorageUnavailable if is_everywhere else StorageFailed)(url, _trouble(error))


def _refusal(error: Exception) -> str:
    """Return what is wrong with a request; an empty string if a later try may succeed."""
    if isinstance(error, ClientError):
        code, status = code_of(error), status_of(error)
        if code in _REFUSALS:
            return _REFUSALS[code]
        if code in _FULL | _TRANSIENT | _EXPIRED or status >= 500 or status == 429:
            return ""
        other = f"the storage refuses the request ({code}, HTTP {status}); check the URL"
        return {403: _DENIED, 301: _REGION}.get(status, other)
    return next((reason for kind, reason in _MISTAKES.items() if isinstance(error, kind)), "")


def _is_full(error: Exception) -> bool:
    return isinstance(error, ClientError) and (
        code_of(error) in _FULL or status_of(error) == _NO_ROOM
    )


def _is_everywhere(error: Exception) -> bool:
    """Return whether any other object would meet this error in reading as well."""
    if isinstance(error, ClientError):
        return code_of(error) in _EXPIRED | _THROTTLED or status_of(error) in _BUSY
    return isinstance(error, ConnectionError | ConnectionClosedError | ReadTimeoutError)


def _trouble(error: Exception) -> str:
    """Return why the storage cannot carry out a request for now."""
    if not isinstance(error, ClientError):
        kind, asked = type(error).__name__, _endpoint(error)
        check = f"check the network and FARM_S3_ENDPOINT{asked and f'; {asked} was asked'}"
        return f"the storage does not answer ({kind}); {check}"
    code, status = code_of(error), status_of(error)
    if code in _EXPIRED:
        return "the keys have expired; renew them, or start again with new ones and --resume"
    if _is_full(error):
        return f"the storage is full, or a quota is used up ({code}); free some space"
    return f"the storage is overloaded or out of order ({code}, HTTP {status}); check it, or wait"


def _endpoint(error: Exception) -> str:
    """Return the host that was asked, and its port, for a message; nothing if the error has none."""
    asked = str(getattr(error, "kwargs", {}).get("endpoint_url", ""))
    return urlsplit(asked).netloc.rpartition("@")[2]


def _bucket(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@contextmanager
def translated_s3_errors(url: str, *, is_output: bool = False) -> Iterator[None]:
    """Raise the farm's errors for those of boto3 in the block."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise s3_error(url, error, is_output=is_output) from error
