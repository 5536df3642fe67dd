"""Lists come in pages, which cost the same however much the ledger knows."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, text

from farm.ledger import Ledger
from farm.model.events import JobChanged, UnitChanged
from farm.model.job import Job, JobState
from farm.model.messages import Failure, Reason

from .farms import NOW, SPEC, S, done, job, ready, unit

UNITS = 100_000
JOBS = 20_000
OTHER = SPEC.model_copy(update={"task": "other"})

GROW_UNITS = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :rows)
INSERT INTO units (job, number, name, source, target, needs, work, is_tolerant, is_working, state,
                   attempts, reason, crashes, workers)
SELECT job, n.n, 'u' || n.n, source, 'out/u' || n.n, needs, work, is_tolerant, is_working,
       CASE n.n % 1000 WHEN 0 THEN 'quarantined' ELSE state END, 1, reason, crashes, workers
FROM units, n WHERE job = 'job' AND number = 0
"""
GROW_STORY = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :rows)
INSERT INTO story (at, job, unit, state, attempt, worker, reason, by)
SELECT 1.0, 'job', 'u' || n, 'running', 1, '', '', 'policy' FROM n
"""
GROW_FAILURES = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :rows)
INSERT INTO failures (job, unit, attempt, reason, message, digest)
SELECT 'job', 'u' || n, 1, 'bug', 'it broke', 'd' || n FROM n
"""
GROW_TRACEBACKS = "INSERT INTO tracebacks SELECT digest, 'Traceback' FROM failures"
GROW_JOBS = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :jobs)
INSERT INTO jobs (id, key, created, state, wanted, reason, task, output, counts, ended, owner)
SELECT 'past' || n, 'k' || n, created - n, 'completed', wanted, reason,
       CASE n % 2 WHEN 0 THEN 'copy' ELSE 'other' END, 'out' || n, counts, created - n, 'f' || n
FROM jobs, n WHERE id = 'job'
"""
GROW_SPECS = "INSERT INTO specs SELECT id, spec FROM jobs, specs WHERE id <> 'job'"
GROW = (GROW_UNITS, GROW_STORY, GROW_FAILURES, GROW_TRACEBACKS, GROW_JOBS, GROW_SPECS)


@pytest.fixture
def large(ledger: Ledger) -> Ledger:
    """A ledger of 20,000 jobs, one of which has 100,000 units with their history."""
    ledger.beat(NOW)
    ledger.add(job(), ready("a"))
    for statement in GROW:
        with ledger._engine.begin() as connection:
            connection.execute(text(statement), {"rows": UNITS, "jobs": JOBS})
    if ledger._engine.dialect.name == "postgresql":  # which does so by itself, a little later
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
    return ledger


def statements_of(ledger: Ledger, call: Callable[[], object]) -> list[tuple[str, Any]]:
    """Return the queries that a call makes, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def look(_c: object, _u: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            seen.append((statement, parameters))

    event.listen(ledger._engine, "before_cursor_execute", look)
    call()
    event.remove(ledger._engine, "before_cursor_execute", look)
    return seen


def rows_read(node: dict[str, Any]) -> int:
    """Return how many rows a plan of PostgreSQL has looked at."""
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return int(own) + sum(map(rows_read, node.get("Plans", ())))


def assert_small(ledger: Ledger, statement: str, parameters: Any) -> None:
    """Check that a query looks at few rows of a large ledger."""
    many = parameters if isinstance(parameters, list) else [parameters]
    with ledger._engine.connect() as connection:
        for one in many:
            if ledger._engine.dialect.name == "sqlite":
                query = f"EXPLAIN QUERY PLAN {statement}"
                plan = [row[-1] for row in connection.exec_driver_sql(query, one)]
                assert not any(line.startswith("SCAN") and "USING" not in line for line in plan), (
                    plan
                )
                is_page = "LIMIT" in statement
                assert not is_page or "TEMP B-TREE" not in "".join(plan), (statement, plan)
            else:
                query = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
                (plan,) = connection.exec_driver_sql(query, one).scalars()
                assert rows_read(plan[0]["Plan"]) < 2500, (statement, json.dumps(plan, indent=1))
        connection.rollback()


@pytest.mark.slow
def test_what_is_read_and_written_does_not_grow_with_the_ledger(large: Ledger) -> None:
    after = Job("past5000", SPEC, NOW - 5000)
    calls: list[Callable[[], object]] = [
        large.jobs,
        lambda: large.jobs(after),
        lambda: large.jobs(after, state=JobState.COMPLETED),
        lambda: large.jobs(after, task="copy"),
        lambda: large.jobs(after, state=JobState.COMPLETED, task="copy"),
        lambda: large.jobs(state=JobState.FAILED),
        lambda: large.units_page("job"),
        lambda: large.units_page("job", after=50_000),
        lambda: large.units_page("job", after=50_000, state=S.QUARANTINED),
        lambda: large.story("job", after=UNITS // 2, limit=100),
        lambda: large.failures("job"),
        lambda: large.counts("job"),
        lambda: large.counts_of(["job", "past7"]),
        lambda: large.job("job"),
        lambda: large.latest("copy", "out/"),
        lambda: large.find(SPEC.key),
        large.unfinished,
        lambda: large.beat(NOW),
        lambda: large.record([UnitChanged(unit("a"), S.RUNNING, 1)], NOW),
        lambda: large.holder(NOW),
    ]
    for call in calls:
        for statement, parameters in statements_of(large, call):
            assert_small(large, statement, parameters)


def walk(page: Callable[[Any], list[Any]], after: Any, name: Callable[[Any], Any]) -> list[Any]:
    """Return what all pages contain."""
    found: list[Any] = []
    while some := page(after):
        found += some
        after = name(some[-1])
    return found


def test_the_pages_of_jobs_contain_each_job_once_newest_first(ledger: Ledger) -> None:
    for number in range(9):
        spec = OTHER if number % 3 == 0 else SPEC
        ledger.add(Job(f"job{number}", spec, NOW + number // 2), ready("a", job=f"job{number}"))
    ended = replace(ledger.jobs()[0], state=JobState.COMPLETED)
    ledger.record([JobChanged(ended)], NOW)
    jobs = walk(lambda after: ledger.jobs(after, limit=2), None, lambda job: job)
    assert [found.id for found in jobs] == [f"job{number}" for number in range(8, -1, -1)]
    others = walk(lambda after: ledger.jobs(after, 2, task="other"), None, lambda job: job)
    assert [found.id for found in others] == ["job6", "job3", "job0"]
    assert ledger.jobs(state=JobState.COMPLETED) == [ended]
    assert ledger.jobs(state=JobState.COMPLETED, task="other") == []
    assert ledger.job_totals() == {JobState.QUEUED: 8, JobState.COMPLETED: 1}


def test_the_pages_of_units_contain_each_unit_once_in_order(ledger: Ledger) -> None:
    names = [f"u{number}" for number in range(9)]
    ledger.add(job(), ready(*names))
    ledger.record([done(name) for name in names[::4]], NOW)
    records = walk(lambda after: ledger.units_page("job", after, 2), -1, lambda unit: unit.number)
    assert records == ledger.units("job")
    finished = walk(
        lambda after: ledger.units_page("job", after, 2, S.SUCCEEDED), -1, lambda unit: unit.number
    )
    assert [record.unit.name for record in finished] == names[::4]
    assert [len(ledger.units_page("job", after, 2)) for after in (-1, 5, 7)] == [2, 2, 1]


def test_the_pages_of_the_story_contain_each_change_once_in_order(ledger: Ledger) -> None:
    ledger.add(job(), ready("a"))
    for attempt in range(5):
        ledger.record([UnitChanged(unit("a"), S.RUNNING, attempt)], NOW)
    lines = walk(lambda after: ledger.story("job", after, 2), 0, lambda line: line.number)
    assert [line.attempt for line in lines] == [0, 1, 2, 3, 4]


def test_the_last_failures_come_first_and_each_unit_has_its_own(ledger: Ledger) -> None:
    ledger.add(job(), ready("a", "b"))
    failures = [Failure(Reason.BUG, f"it broke {n}", traceback=f"Traceback {n}") for n in range(3)]
    for attempt, failure in enumerate(failures):
        change = UnitChanged(unit("ab"[attempt % 2]), S.RETRY_WAIT, attempt, failure=failure)
        ledger.record([change], NOW)
    last = ledger.failures("job", limit=2)
    assert [(one.unit, one.attempt) for one in last] == [("a", 2), ("b", 1)]
    assert [one.failure for one in last] == [failures[2], failures[1]]
    page = ledger.units_page("job")
    assert [record.failures for record in page] == [(failures[0], failures[2]), (failures[1],)]
