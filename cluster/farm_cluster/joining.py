"""Check that the server at an address is a Ray cluster that this process can join."""

import json
import platform
import subprocess
import sys
from typing import Final

from farm.errors import UserError
from farm_cluster import probe

__all__ = ["check_address"]

_PROBE_SECONDS: Final = 60.0
"""For the whole probe, most of which is the import of Ray on a busy machine."""

_TOKEN_ERRORS: Final = ("InvalidAuthToken", "AuthenticationError", "Unauthenticated")


def check_address(address: str) -> None:
    """Raise UserError unless a cluster of the same versions answers at HOST:PORT."""
    host, port = _split(address)
    command = [sys.executable, "-P", probe.__file__, host, port]
    try:
        asked = subprocess.run(  # noqa: S603 - this program and a checked address
            command, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"no Ray cluster answers at {address}; {_ADVICE}") from error
    if reason := _refusal(asked):
        raise UserError(reason.format(address=address))
    _check_versions(address, *json.loads(asked.stdout))


_ADVICE: Final = "start one with `ray start --head`, or omit --address"


def _split(address: str) -> tuple[str, str]:
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit() and 0 < int(port) < 2**16) or "/" in host:
        raise UserError(f"--address {address}: give HOST:PORT, for example 10.0.0.1:6379")
    return host.strip("[]"), port


def _refusal(asked: "subprocess.CompletedProcess[str]") -> str:
    """Return why the cluster cannot be joined, with {address} in place of its address; empty if it can."""
    if any(word in asked.stderr for word in _TOKEN_ERRORS):
        return (
            "the Ray cluster at {address} refuses this process's token; set RAY_AUTH_TOKEN to the "
            "cluster's token"
        )
    if asked.returncode == probe.REFUSED:
        reason = asked.stdout.strip().replace("{", "{{").replace("}", "}}")
        return f"no Ray cluster answers at {{address}} ({reason}); {_ADVICE}"
    if asked.returncode:
        return f"what answers at {{address}} is not a Ray cluster; {_ADVICE}"
    return ""


def _check_versions(address: str, ray_version: str | None, python_version: str | None) -> None:
    import ray

    for name, there, here in (
        ("Ray", ray_version, ray.__version__),
        ("Python", python_version, platform.python_version()),
    ):
        if there is not None and there != here:
            raise UserError(
                f"the Ray cluster at {address} runs {name} {there}, but this process runs {name} "
                f"{here}; install the same version on both"
            )
