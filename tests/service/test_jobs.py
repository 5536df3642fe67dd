"""Jobs over HTTP: submit, list, look, change, forget."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Final

import pytest

from farm.app import open_service
from farm.host.registry import Registry
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import Failure, Reason
from farm.service.board import Board
from farm.service.desk import Desk
from farm.service.roots import Roots

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from .conftest import Serve, Served, has_ended

RUNNING = {"a": ["hang"]}
THREADS: Final = 40
"""Threads that the service answers all requests with: the default of AnyIO."""


def test_a_submitted_job_is_rendered(served: Served) -> None:
    job = served.finished()
    assert job["state"] == "completed"
    assert job["progress"] == 1
    assert job["counts"] == {"succeeded": 3}
    assert (served.folder / "out" / "job" / "c.png").is_file()


def test_a_job_is_shown_with_locations_below_roots_only(served: Served) -> None:
    job = served.finished()
    assert job["spec"]["inputs"] == ["photos"]
    assert job["spec"]["output"] == "out/job/"
    units = served.client.get(f"/api/jobs/{job['id']}/units").text
    assert str(served.folder) not in units + str(job)


def test_the_same_token_of_a_client_gives_the_same_job(served: Served) -> None:
    first = served.submit(token="form 7")  # noqa: S106 - of a client
    again = served.submit(token="form 7")  # noqa: S106
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    "changes",
    [
        {"output": "out/other/"},
        {"params": {"amount": 0.5}},
        {"inputs": ["photos/a.png"]},
        {"name": "other"},
        {"plan": {"seed": 7}},
    ],
)
def test_a_token_of_one_request_is_refused_for_another(
    served: Served, changes: dict[str, object]
) -> None:
    first = served.finished(token="form 7")  # noqa: S106 - of a client
    answer = served.submit(token="form 7", **changes)  # noqa: S106
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "conflict")
    assert error["message"].startswith(f"this token was given for another job: {first['id']}")
    assert served.submit(token="form 7", priority=90).json()["id"] == first["id"]  # noqa: S106


MANY_INTO_ONE = {"output": "out/one.png"}
"""What only planning refuses: three pictures cannot be one."""


def test_what_planning_refuses_at_once_leaves_nothing(served: Served) -> None:
    answer = served.submit(**MANY_INTO_ONE)
    assert answer.status_code in {400, 409}
    assert served.client.get("/api/jobs").json()["jobs"] == []


def test_a_client_is_answered_before_a_long_planning_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.desk.PLAN_SECONDS", 0)
    answer = served.submit(**MANY_INTO_ONE)
    assert (answer.status_code, answer.json()["state"]) == (201, "planning")
    ended = served.wait(answer.json()["id"], has_ended)
    assert ended["state"] == "failed"
    assert ended["reason"].startswith("cannot write out/one.png: ")


def test_inputs_that_would_get_the_same_name_are_refused_in_the_answer(
    served: Served, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.desk.PLAN_SECONDS", 0)
    for name in ("x/a.png", "y_a.png", "y/a.png"):
        (pictures / name).parent.mkdir(exist_ok=True)
        shutil.copy(pictures / "a.png", pictures / name)
    inputs = ["photos/x/a.png", "photos/y_a.png", "photos/y/a.png"]
    answer = served.submit(inputs=inputs)
    reason = "its output would get the same name as that of photos/y_a.png; rename one"
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        f"photos/y/a.png: {reason}",
    )
    assert served.submit(inputs=inputs[:2]).status_code == 201


@pytest.mark.slow
def test_questions_are_answered_while_very_many_submissions_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.service.desk.PLAN_SECONDS", 60)
    clients, inbox = 45, served.service._controller._inbox
    served.executor.may_go_on.clear()
    with ThreadPoolExecutor(clients) as pool:
        jobs = [pool.submit(served.submit, output=f"out/{n}/") for n in range(clients)]
        try:
            while len(inbox._calls) < THREADS:
                Event().wait(0.02)
            assert served.client.get("/api/jobs").status_code == 200
        finally:
            served.executor.may_go_on.set()
        assert {job.result().status_code for job in jobs} == {201}


def test_an_output_that_exists_is_replaced_only_if_the_request_says_so(served: Served) -> None:
    served.finished()
    refused = served.submit()
    assert refused.status_code == 409
    assert refused.json()["error"]["field"] == "output"
    assert "out/job/a.png: it exists, and so do 2 more" in refused.json()["error"]["message"]
    assert served.finished(overwrite=True)["counts"] == {"succeeded": 3}
    assert served.finished(resume=True)["counts"] == {"skipped": 3}


def test_jobs_are_listed_by_pages_newest_first(served: Served) -> None:
    jobs = [served.finished(output=f"out/{n}/")["id"] for n in range(3)]
    page = served.client.get("/api/jobs", params={"limit": 2}).json()
    rest = served.client.get("/api/jobs", params={"limit": 2, "after": page["next"]}).json()
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == jobs[::-1]
    assert rest["next"] is None


def test_a_job_has_a_name_and_an_owner(serve: Serve) -> None:
    with serve(token=True) as served:
        named = served.finished(name="<b>clouds</b>", output="out/1/")
        served.client.headers["authorization"] = f"Bearer {served.tokens.new('ada')}"
        other = served.finished(owner="ada", output="out/2/")
        assert (named["name"], named["owner"], other["owner"]) == ("<b>clouds</b>", "me", "ada")
        listed = served.client.get("/api/jobs", params={"owner": "ada"}).json()["jobs"]
    assert [job["id"] for job in listed] == [other["id"]]


def test_nobody_submits_in_the_name_of_another(serve: Serve) -> None:
    with serve(token=True) as served:
        for path in ("/api/jobs", "/api/jobs?dry_run=true", "/api/preview"):
            body = {"task": "copy", "inputs": ["photos/a.png"], "output": "out/1/", "owner": "ada"}
            answer = served.client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["field"]) == (403, "owner")
        assert answer.json()["error"]["message"].startswith("the owner cannot be 'ada'")
        assert served.client.get("/api/jobs").json()["jobs"] == []


def test_a_farm_without_tokens_believes_who_the_owner_is(served: Served) -> None:
    assert served.finished(owner="ada")["owner"] == "ada"


def test_units_are_listed_by_pages_in_order(served: Served) -> None:
    job = served.finished()["id"]
    page = served.client.get(f"/api/jobs/{job}/units", params={"limit": 2}).json()
    rest = served.client.get(f"/api/jobs/{job}/units", params={"after": page["next"]}).json()
    assert [unit["name"] for unit in page["units"] + rest["units"]] == ["a", "b", "c"]


def test_a_unit_tells_its_story(served: Served) -> None:
    job = served.finished()["id"]
    unit = served.client.get(f"/api/jobs/{job}/units/1").json()
    assert unit["source"] == "photos/b.png"
    assert [line["state"] for line in unit["story"]] == ["leased", "running", "succeeded"]


def test_a_failure_is_told_with_its_attempt(serve: Serve) -> None:
    ends = {"a": [Failure(Reason.USER_ERROR, "it is damaged", is_fatal=True)]}
    with serve(ends) as served:
        job = served.finished()["id"]
        unit = served.client.get(f"/api/jobs/{job}/units/0").json()
    assert unit["state"] == "quarantined"
    assert unit["failures"] == [{"attempt": 1, "reason": "user_error", "message": "it is damaged"}]


def test_a_job_is_paused_continued_and_cancelled(serve: Serve) -> None:
    with serve(RUNNING) as served:
        job = served.submit().json()["id"]
        for wanted in ("pause", "run", "cancel"):
            changed = served.client.patch(f"/api/jobs/{job}", json={"wanted": wanted})
            assert changed.json()["wanted"] == wanted
        assert served.wait(job, has_ended)["state"] == "cancelled"
        late = served.client.patch(f"/api/jobs/{job}", json={"wanted": "run"})
        assert late.status_code == 409
        message = f"job {job} has ended: it is cancelled; retry it to go on"
        assert late.json()["error"]["message"] == message


def test_failed_frames_of_a_job_that_has_ended_are_tried_again(serve: Serve) -> None:
    with serve({"a": [Failure(Reason.USER_ERROR, "it is damaged", is_fatal=True)]}) as served:
        job = served.finished()
        assert (job["state"], job["reason"]) == ("completed_with_failures", "1 of 3 units failed")
        answer = served.client.post(f"/api/jobs/{job['id']}/retry", json={})
        assert answer.status_code == 200
        done = served.wait(job["id"], has_ended)
        assert (done["state"], done["counts"]) == ("completed", {"succeeded": 3})
        again = served.client.post(f"/api/jobs/{job['id']}/retry", json={})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


def test_a_range_of_frames_is_rendered_again(served: Served) -> None:
    job = served.finished()["id"]
    answer = served.client.post(f"/api/jobs/{job}/retry", json={"frames": "2-3", "redo": True})
    assert answer.status_code == 200
    served.wait(job, has_ended)
    units = served.client.get(f"/api/jobs/{job}/units").json()["units"]
    assert [unit["attempt"] for unit in units] == [1, 2, 2]


def test_a_paused_job_stays_paused_after_a_restart(serve: Serve) -> None:
    with serve(RUNNING) as served:
        job = served.submit().json()["id"]
        served.client.patch(f"/api/jobs/{job}", json={"wanted": "pause"})
    with serve() as served:
        paused = served.wait(job, lambda job: job["state"] == "paused")
        assert paused["wanted"] == "pause"
        assert paused["reason"].startswith("paused")


def test_a_priority_is_changed_while_a_job_runs(serve: Serve) -> None:
    with serve(RUNNING) as served:
        job = served.submit().json()["id"]
        changed = served.client.patch(f"/api/jobs/{job}", json={"priority": 90})
        assert changed.json()["priority"] == 90
        assert served.client.patch(f"/api/jobs/{job}", json={"priority": 101}).status_code == 400


def test_a_job_that_has_ended_is_forgotten_and_its_files_stay(serve: Serve) -> None:
    with serve(RUNNING) as served:
        job = served.submit().json()["id"]
        assert served.client.delete(f"/api/jobs/{job}").status_code == 409
        served.client.patch(f"/api/jobs/{job}", json={"wanted": "cancel"})
        served.wait(job, has_ended)
        done = served.finished(output="out/other/", inputs=["photos/b.png"])["id"]
        assert served.client.delete(f"/api/jobs/{done}").status_code == 204
        assert (served.folder / "out" / "other" / "b.png").is_file()
        listed = served.client.get("/api/jobs").json()["jobs"]
        assert [each["id"] for each in listed] == [job]
        assert served.client.get(f"/api/jobs/{done}").status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"params": {"amount": 2}}, "params.amount"),
        ({"params": {"size": 2}}, "params.size"),
        ({"task": "dream", "params": {"at": ["4 step=900"]}}, "params.at"),
        ({"task": "dream", "params": {"at": ["step=2"]}}, "params.at"),
        ({"task": "coyp"}, "task"),
        ({"priority": 101}, "priority"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["photos/a.png", ""]}, "inputs.1"),
        ({"output": ""}, "output"),
        ({"task": "dream", "params": {"guide": ""}}, "params.guide"),
        ({"plan": {"tile": -1}}, "plan.tile"),
        ({"code": "import os"}, "code"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_a_refusal_names_the_field(served: Served, changes: dict[str, object], field: str) -> None:
    answer = served.submit(**changes)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("bad_request", field)
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"task": "copy"', "it is no JSON, or was cut off"),
        (b'{"task": "copy", "output": "out/a.png"}', "it is needed"),
        (b'{"task": "copy", "inputs": [""], "output": "out/a.png"}', "it is empty"),
        (
            b'{"task": "copy", "inputs": ["a"], "output": "b", "parameters": {}}',
            "there is no such field; did you mean params?",
        ),
        (
            b'{"task": "copy", "inputs": ["a"], "output": "b", "film": {"frames": "1-9"}}',
            "there is no such field; did you mean frames?",
        ),
        (
            b'{"task": "copy", "inputs": ["a"], "output": "b", "coherence": "flow"}',
            "there is no such field; did you mean film.coherence?",
        ),
        (
            b'{"task": "copy", "inputs": ["a"], "output": "b", "film": {"sound": 1}}',
            "there is no such field; choose one of coherence, codec, quality, depth, rate, is_strict, is_loop",
        ),
    ],
)
def test_a_refusal_is_a_plain_sentence(served: Served, body: bytes, message: str) -> None:
    headers = {"content-type": "application/json"}
    answer = served.client.post("/api/jobs", content=body, headers=headers)
    assert answer.json()["error"]["message"] == message


def test_a_path_of_this_machine_is_refused_with_the_names_of_the_roots(served: Served) -> None:
    message = served.submit(inputs=["/etc/hostname"]).json()["error"]["message"]
    assert "roots: out, photos, uploads" in message
    assert "ROOT/path" in message


def test_a_dry_run_tells_what_a_job_would_cost_and_leaves_nothing(served: Served) -> None:
    body = {"task": "copy", "inputs": ["photos/"], "output": "out/dry/"}

    def ask() -> dict[str, object]:
        answer = served.client.post("/api/jobs", params={"dry_run": True}, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    before = ask()
    assert (before["units"], before["pixels"], before["seconds"]) == (3, 192, None)
    assert served.client.get("/api/jobs").json()["jobs"] == []
    assert not (served.folder / "out" / "dry").exists()
    served.finished()
    after = ask()
    assert (after["based_on"], after["seconds_per_megapixel"]) == (3, 37500)
    assert after["seconds"] == pytest.approx(37500 * 192e-6)


def test_a_job_has_a_largest_number_of_frames(served: Served) -> None:
    answer = served.submit(task="zoom", inputs=["photos/a.png"], frames="1-1000001")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_the_queue_has_a_largest_length(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.service.desk.MOST_JOBS", 1)
    with serve(RUNNING) as served:
        assert served.submit().status_code == 201
        answer = served.submit(output="out/other/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")


def test_jobs_of_an_unknown_task_are_refused(served: Served) -> None:
    answer = served.client.get("/api/jobs", params={"task": "coyp"})
    message = "unknown task 'coyp'; did you mean copy?"
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
    assert served.client.get("/api/jobs", params={"task": "copy"}).json()["jobs"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "after=../x", "state=lost", "limit=x", "after=%00"]
)
def test_a_page_has_a_size_and_a_place(served: Served, query: str) -> None:
    assert served.client.get(f"/api/jobs?{query}").status_code == 400


@pytest.mark.parametrize(
    "path", ["jobs/nothing", "jobs/nothing/units", "jobs/nothing/why", "nothing"]
)
def test_what_is_not_there_is_not_found(served: Served, path: str) -> None:
    answer = served.client.get(f"/api/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_farm_is_told_in_one_word(serve: Serve) -> None:
    with serve(RUNNING) as served:
        job = served.submit().json()["id"]
        served.wait(job, lambda job: job["counts"].get("running") == 1)
        farm = served.client.get("/api/farm").json()
        assert (farm["state"], farm["workers"]) == ("active", {"idle": 0, "busy": 1})
        (worker,) = served.client.get("/api/workers").json()["workers"]
        assert worker["unit"] == {"job": job, "name": "a", "done": 0.5}


def test_a_farm_goes_on_after_a_restart(serve: Serve) -> None:
    with serve(RUNNING) as served:
        job = served.submit().json()["id"]
        served.wait(job, lambda job: job["counts"].get("running") == 1)
    with serve() as served:
        assert served.wait(job, has_ended)["counts"] == {"succeeded": 3}


def test_tasks_come_with_the_schema_of_their_parameters(served: Served) -> None:
    tasks = {task["name"]: task for task in served.client.get("/api/tasks").json()["tasks"]}
    assert tasks["copy"]["kind"] == "effect"
    assert tasks["copy"]["title"] == "Leave the picture as it is."
    assert tasks["copy"]["schema"]["properties"]["amount"]["maximum"] == 1
    assert tasks["dream"]["plugin"] == "dream"


def test_the_own_presets_of_who_runs_the_farm_are_on_the_form(
    serve: Serve, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "presets.toml"
    file.write_text(
        f'[dream.mine]\noctaves = 2\nguide = "{pictures}/b.png"\nmask = "/home/me/mask.png"\n'
    )
    monkeypatch.setenv("FARM_PRESETS", str(file))
    with serve() as served:
        tasks = served.client.get("/api/tasks").json()["tasks"]
        (dream,) = [task for task in tasks if task["name"] == "dream"]
        mine = {"octaves": 2, "guide": "photos/b.png", "mask": "-/mask.png"}
        assert dream["presets"].pop("mine") == mine
        assert "birds" in dream["presets"]
        answer = served.submit(task="dream", params={"guide": mine["guide"]})
        assert answer.status_code == 201


def test_parameters_over_time_and_loops_are_part_of_a_job(serve: Serve) -> None:
    with serve() as served:
        at = ["0 step=1", "4 step=2 layer=conv3"]
        asked = {"inputs": ["photos/b.png"], "frames": "8", "output": "out/%d.png"}
        answer = served.submit(task="zoom", params={"at": at}, film={"is_loop": True}, **asked)
        assert answer.status_code == 201, answer.text
        spec = served.client.get(f"/api/jobs/{answer.json()['id']}").json()["spec"]
        assert (spec["params"]["at"], spec["film"]["is_loop"]) == (at, True)


def test_a_film_is_counted_in_frames_beside_its_units(serve: Serve) -> None:
    with serve() as served:
        job = served.finished(inputs=["blank:64x64"], task="zoom", frames="8", output="out/a.mp4")
        assert (job["frames"], job["done"]) == (10, 10)
        seen = {"frames": 8, "done": 8, "failed": 0, "counts": {"succeeded": 8}}
        assert job["seen"] == seen
        (listed,) = served.client.get("/api/jobs").json()["jobs"]
        assert listed["seen"] == seen


def test_a_job_says_what_was_left_out_of_its_inputs(served: Served) -> None:
    (served.folder / "in" / "inner").mkdir()
    shutil.copy(served.folder / "in" / "a.png", served.folder / "in" / "inner")
    job = served.finished()
    note = "photos: 1 picture or film in subfolders was left out; to take all, give 'photos/**'"
    assert job["notes"] == [note]
    assert served.finished(inputs=["photos/a.png"], output="out/a.png")["notes"] == []


def test_a_job_starts_after_another_whose_files_it_reads(serve: Serve) -> None:
    with serve() as served:
        first = served.submit(output="out/first/").json()["id"]
        answer = served.submit(inputs=["out/first/"], output="out/last/", after=[first])
        assert (answer.status_code, answer.json()["after"]) == (201, [first])
        assert served.wait(answer.json()["id"], has_ended)["counts"] == {"succeeded": 3}


def test_a_job_may_name_what_another_has_not_written_yet(serve: Serve) -> None:
    with serve(RUNNING) as served:
        first = served.submit(inputs=["photos/a.png"], output="out/first/z.png").json()["id"]
        answers = [
            served.submit(inputs=[inputs], output=output, after=[first])
            for inputs, output in (("out/first/", "out/all/"), ("out/first/z.png", "out/one.png"))
        ]
        assert [answer.status_code for answer in answers] == [201, 201]
        served.client.patch(f"/api/jobs/{first}", json={"wanted": "cancel"})
        served.wait(first, has_ended)
        served.client.post(f"/api/jobs/{first}/retry", json={})
        for answer in answers:
            assert served.wait(answer.json()["id"], has_ended)["state"] == "completed"


def test_a_job_that_waits_names_files_below_roots_only(serve: Serve) -> None:
    with serve(RUNNING) as served:
        first = served.submit().json()["id"]
        (served.folder / "out" / "away").symlink_to(served.folder / "private")
        for inputs in ("/etc/hostname", "elsewhere/a.png", "out/away/later.png"):
            answer = served.submit(inputs=[inputs], output="out/last/", after=[first])
            assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    "reads",
    [
        {"inputs": ["out/first/"]},
        {"inputs": ["out/first/*.png"]},
        {"inputs": ["photos/b.png"], "task": "dream", "params": {"guide": "out/first/z.png"}},
    ],
    ids=["folder", "glob", "parameter"],
)
def test_a_job_that_waited_follows_no_link_out_of_the_roots(
    serve: Serve, pictures: Path, reads: dict[str, object]
) -> None:
    with serve(RUNNING) as served:
        first = served.submit(inputs=["photos/a.png"], output="out/first/a.png").json()["id"]
        last = served.submit(output="out/last/", after=[first], **reads).json()["id"]
        secret = served.folder / "private" / "secret.png"
        secret.write_bytes((pictures / "a.png").read_bytes())
        (served.folder / "out" / "first").mkdir(exist_ok=True)
        (served.folder / "out" / "first" / "z.png").symlink_to(secret)
        served.client.patch(f"/api/jobs/{first}", json={"wanted": "cancel"})
        served.wait(first, has_ended)
        served.client.post(f"/api/jobs/{first}/retry", json={})
        ended = served.wait(last, has_ended)
    assert (ended["state"], "root" in ended["reason"]) == ("failed", True), ended["reason"]


def test_a_job_says_which_other_it_waits_for(serve: Serve) -> None:
    with serve(RUNNING) as served:
        first = served.submit().json()["id"]
        last = served.submit(output="out/last/", after=[first]).json()
        assert (last["state"], last["reason"]) == ("planning", f"waits for job {first}")
        why = served.client.get(f"/api/jobs/{last['id']}/why").json()
        assert why["waiting"] == f"waits for job {first}"


def test_a_job_that_another_one_waits_for_is_not_forgotten(serve: Serve) -> None:
    with serve(RUNNING) as served:
        first = served.submit().json()["id"]
        last = served.submit(output="out/last/", after=[first]).json()["id"]
        served.client.patch(f"/api/jobs/{first}", json={"wanted": "cancel"})
        served.wait(first, has_ended)
        answer = served.client.delete(f"/api/jobs/{first}")
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            409,
            f"job {last} waits for job {first}; cancel that one first",
        )
        served.client.patch(f"/api/jobs/{last}", json={"wanted": "cancel"})
        served.wait(last, has_ended)
        assert served.client.delete(f"/api/jobs/{first}").status_code == 204


def test_a_job_waits_only_for_jobs_that_are_there(served: Served) -> None:
    answer = served.submit(after=["copy-later"])
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "after"


def test_why_a_job_waits_is_said_in_words(serve: Serve) -> None:
    with serve(RUNNING) as served:
        running = served.submit(priority=90).json()["id"]
        served.wait(running, lambda job: job["counts"].get("running") == 1)
        assert served.client.get(f"/api/jobs/{running}/why").json()["waiting"] == ""
        waiting = served.submit(output="out/other/").json()["id"]
        reason = "the only worker is busy; 1 job of higher priority before it"
        assert served.client.get(f"/api/jobs/{waiting}/why").json()["waiting"] == reason
        assert served.job(waiting)["reason"] == reason
        served.client.patch(f"/api/jobs/{waiting}", json={"wanted": "pause"})
        paused = served.client.get(f"/api/jobs/{waiting}/why").json()["waiting"]
        assert paused == "paused by its user; resume it to go on"


def test_a_job_that_is_forgotten_while_somebody_looks_at_it_waits_for_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    board, url = Board(FakeClock()), f"sqlite:///{tmp_path / 'ledger.db'}"
    with open_service(registry, lambda: FakeExecutor(scripted({})), url) as farm:
        desk = Desk(registry, farm, board, Roots({"out": str(tmp_path)}), tmp_path)
        ended = Job("job", JobSpec(task="copy", inputs=("in",), output="out"), 0.0, JobState.FAILED)
        farm.ledger.add(ended, [])
        seen = desk.stored("job")
        desk.forget("job")
        assert desk._waiting(seen) == ""
