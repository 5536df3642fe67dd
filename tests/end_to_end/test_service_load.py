"""Many clients submit many jobs at once, each twice, and a service does each job once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import draw
from .services import Request, Service, faults_of

CLIENTS, JOBS, MOST_UNITS = 8, 40, 5


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
    for count in range(1, MOST_UNITS + 1):
        for number in range(count):
            draw(tmp_path / "in" / f"of{count}" / f"{number}.png", 8, 8, seed=number)
    service.start()
    try:
        yield service
    finally:
        service.kill()


@pytest.mark.slow
def test_jobs_of_many_clients_are_all_done_once_and_listed_by_pages(service: Service) -> None:
    requests = [
        Request(f"{n}", "negative", f"in/of{1 + n % MOST_UNITS}/", f"out/{n}/") for n in range(JOBS)
    ]

    def submit(number: int) -> set[str]:
        """Submit a part of the jobs, and again, as a client does that lost the answers."""
        with service.client() as client:
            own = requests[number::CLIENTS]
            first, again = ([request.submit(client).id for request in own] for _ in range(2))
            assert first == again
            return set(first)

    with ThreadPoolExecutor(CLIENTS) as pool:
        submitted = set().union(*pool.map(submit, range(CLIENTS)))
    with service.client() as client:
        assert all(job.wait(300).is_complete for job in client.jobs())
        listed, after = list[str](), ""
        while after is not None:
            page = client._connection.get("/api/jobs", after=after, limit=7)
            listed += [job["id"] for job in page["jobs"]]
            after = page["next"]
    assert sorted(listed) == sorted(submitted)
    assert len(submitted) == JOBS
    assert service.stop() == 0
    assert [*faults_of(service, requests)] == []
