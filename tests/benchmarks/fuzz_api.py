"""Send a service whatever its description allows, and much that it does not.

``python tests/benchmarks/fuzz_api.py --minutes 10`` starts a farm of its own and ends with an error if an answer is 500
or more (but 503), does not come within ten seconds, or is not as described.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HANG_SECONDS = 10.0
PICTURE = "photos/a.png"


def fuzz(base: str, seconds: float, examples: int, seed: int = 0) -> list[str]:
    """Send requests to a service for some time; return what was wrong with the answers.

    examples: for each route and round.
    """
    import requests
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Unsatisfiable

    schema = schemathesis.openapi.from_url(f"{base}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    faults: list[str] = []
    end, count, rounds = time.monotonic() + seconds, 0, 0

    def check(case: Any) -> None:
        nonlocal count
        if time.monotonic() > end:
            return
        count += 1
        began = time.monotonic()
        sent = case.as_transport_kwargs(base_url=base)
        with requests.request(**sent, timeout=HANG_SECONDS, stream=True) as answer:
            status, took = answer.status_code, time.monotonic() - began
        documented = case.operation.definition.raw["responses"]
        if status >= 500 and status != 503:
            faults.append(f"{status} for {case.method} {case.formatted_path} {case.body!r:.200}")
        elif str(status) not in documented and status not in {401, 403, 404, 405, 415}:
            faults.append(
                f"{status} is not described: {case.method} {case.formatted_path} {case.query} {case.body!r:.200}"
            )
        if took > HANG_SECONDS:
            faults.append(f"{took:.0f} s for {case.method} {case.formatted_path}")

    options = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() < end:
        for operation in operations:
            for mode in schemathesis.GenerationMode:
                cases = operation.as_strategy(generation_mode=mode)
                with suppress(Unsatisfiable):  # a route without parameters takes no wrong ones
                    seeded(seed + rounds)(options(given(cases)(check)))()
        rounds += 1
    print(f"{count:,} requests to {len(operations)} routes, {len(faults)} faults")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        from PIL import Image

        photos = Path(folder, "photos")
        photos.mkdir()
        Image.new("RGB", (8, 8), "red").save(photos / "a.png")
        environment = os.environ | {"FARM_LEDGER": f"{folder}/ledger.db"}
        command = [
            sys.executable,
            "-m",
            "farm",
            "serve",
            "--root",
            f"photos={photos}",
            "--port",
            "0",
        ]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as farm:
            assert farm.stderr
            base = farm.stderr.readline().split()[-1].rstrip("/")
            try:
                faults = fuzz(base, 60 * options.minutes, 50)
            finally:
                farm.terminate()
    print("\n".join(sorted(set(faults))[:50]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
