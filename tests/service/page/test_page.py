"""What people do on the farm's page, by pointer, by keyboard and on a phone."""

import hashlib
import json
import re
from contextlib import ExitStack
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from farm.model.messages import Failure, Reason
from farm.service.application import WEB

from ...fakes import scripted  # noqa: TID252 - shared with the contract suite
from ..conftest import Serve, Served  # noqa: TID252 - of the service
from .conftest import WAIT_MILLISECONDS, Browse

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, Route, expect

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]

expect.set_options(timeout=WAIT_MILLISECONDS)

HOSTILE = "<img src=x onerror=alert(1)>"
PHONE = {"viewport": {"width": 360, "height": 740}}


def picture(path: Path) -> Path:
    Image.effect_noise((64, 48), 80).convert("RGB").save(path)
    return path


def cancel(page: Page) -> None:
    """Cancel the job whose page it is, and wait until that is so."""
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".job-head .badge")).to_have_text("cancelled")


def tile(page: Page, name: str, state: str) -> None:
    """Wait for a unit in this state, by the words that a screen reader says."""
    expect(page.get_by_role("button", name=f"{name}: {state}", exact=True)).to_be_visible()


def test_an_empty_farm_leads_a_newcomer_to_the_form(served: Served, browse: Browse) -> None:
    with browse(served) as watched:
        expect(watched.page.get_by_role("heading", name="The farm is idle")).to_be_visible()
        watched.page.get_by_role("link", name="Dream a picture").click()
        expect(watched.page.get_by_role("heading", name="New job")).to_be_focused()


def test_a_farm_with_jobs_leads_to_the_same_form(served: Served, browse: Browse) -> None:
    served.finished()
    with browse(served) as watched:
        watched.page.get_by_role("link", name="New job").click()
        expect(watched.page.get_by_role("heading", name="New job")).to_be_focused()
        expect(watched.page.get_by_label("Task")).to_have_value("dream")


def test_a_picture_is_uploaded_previewed_and_submitted(
    served: Served, browse: Browse, tmp_path: Path
) -> None:
    with browse(served, "/new?task=copy") as watched:
        page = watched.page
        page.get_by_label("Files to upload").set_input_files(picture(tmp_path / "cloud.png"))
        expect(page.get_by_label("Write to")).to_have_value("out/cloud-copy.png")
        expect(page.get_by_text("1 unit · 3,072 pixels")).to_be_visible()
        page.get_by_role("button", name="Preview").click()
        expect(page.locator(".preview").get_by_alt_text("Result")).to_be_visible()
        assert not (tmp_path / "out" / "cloud-copy.png").exists()
        page.get_by_role("button", name="Submit").click()
        expect(page.locator(".single").get_by_alt_text("Result")).to_have_js_property(
            "naturalWidth", 64
        )
    assert (tmp_path / "out" / "cloud-copy.png").is_file()


def test_a_file_that_is_dropped_is_sent_and_goes_on_where_an_upload_ended(
    served: Served, browse: Browse, tmp_path: Path
) -> None:
    content = picture(tmp_path / "drop.png").read_bytes()
    digest, half = hashlib.sha256(content).hexdigest(), len(content) // 2
    served.client.put(
        f"/api/uploads/{digest}",
        params={"name": "drop.png"},
        content=content[:half],
        headers={"content-range": f"bytes 0-{half - 1}/{len(content)}"},
    )
    with browse(served, "/new?task=copy", refused=frozenset({409})) as watched:
        dropped = watched.page.evaluate_handle(
            """bytes => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], "drop.png"));
              return data;
            }""",
            list(content),
        )
        watched.page.dispatch_event(".inputs", "drop", {"dataTransfer": dropped})
        expect(watched.page.get_by_text("1 file sent")).to_be_visible()
    assert (tmp_path / "private/uploads" / digest / "drop.png").read_bytes() == content


def test_a_file_of_the_farm_is_chosen(served: Served, browse: Browse) -> None:
    with browse(served, "/new?task=copy") as watched:
        page = watched.page
        page.get_by_role("button", name="From the farm").click()
        page.get_by_role("button", name="photos/", exact=True).click()
        page.get_by_role("button", name="b.png").click()
        expect(page.get_by_label("Write to")).to_have_value("photos/b-copy.png")


def test_numbered_pictures_are_chosen_as_one(
    served: Served, browse: Browse, pictures: Path
) -> None:
    for number in range(1, 4):
        picture(pictures / f"sky_{number:04}.png")
    with browse(served, "/new?task=copy") as watched:
        page = watched.page
        page.get_by_role("button", name="From the farm").click()
        page.get_by_role("button", name="photos/", exact=True).click()
        page.get_by_role("button", name="sky_%04d.png").click()
        expect(page.get_by_label("Write to")).to_have_value("photos/sky-copy/sky_%04d.png")
        expect(page.get_by_text("3 units")).to_be_visible()


def test_a_result_is_suggested_beside_its_input(
    served: Served, browse: Browse, pictures: Path
) -> None:
    (pictures / "day/one").mkdir(parents=True)
    picture(pictures / "day/one/a.png")
    for given, suggested in {
        "photos/day/one/a.png": "photos/day/one/a-copy.png",
        "photos/day/one/": "photos/day/one-copy/",
        "photos/": "photos/photos-copy/",
        "blank:64x64": "out/blank-64x64-copy.png",
    }.items():
        with browse(served, "/new?task=copy", refused=frozenset({400})) as watched:
            watched.open(f"/new?task=copy&input={given}")
            expect(watched.page.get_by_label("Write to")).to_have_value(suggested)


def test_an_endless_film_is_suggested_for_a_picture(served: Served, browse: Browse) -> None:
    with browse(served, "/new?task=zoom") as watched:
        watched.open("/new?task=zoom&input=photos/a.png")
        expect(watched.page.get_by_label("Write to")).to_have_value("photos/a-zoom.mp4")
        expect(watched.page.locator("aside strong")).to_contain_text("units · ")


def test_a_preset_fills_the_form(served: Served, browse: Browse) -> None:
    with browse(served, "/new?task=dream&input=photos/a.png") as watched:
        page = watched.page
        page.get_by_label("Preset").select_option("whorls")
        layers = page.get_by_label("Layers")
        expect(layers).to_have_value("inception3b")
        page.get_by_label("Preset").select_option("none")
        expect(layers).to_have_value("inception4c")


def test_parameters_over_time_and_loops_are_on_the_form(served: Served, browse: Browse) -> None:
    with browse(served, "/new?task=dream&input=photos/a.png") as watched:
        page = watched.page
        page.get_by_text("More settings").click()
        page.get_by_text("How the farm runs it").click()
        over_time = page.get_by_label("Over time")
        expect(over_time).to_have_value("")
        expect(over_time).to_have_attribute("rows", "3")
        over_time.fill("\n".join(f"{second} step=1" for second in range(5)))
        expect(over_time).to_have_attribute("rows", "5")
        over_time.fill("0 step=1")
        expect(over_time).to_have_attribute("rows", "3")
        expect(page.get_by_label("Loop")).not_to_be_checked()


@pytest.mark.parametrize("button", ["Preview", "What would it cost?", "Submit"])
def test_what_the_farm_refuses_is_said_at_its_field(
    served: Served, browse: Browse, button: str
) -> None:
    with browse(served, "/new?task=copy&input=photos/a.png", refused=frozenset({400})) as watched:
        amount = watched.page.get_by_label("Amount")
        amount.fill("7")
        watched.page.get_by_role("button", name=button).click()
        expect(amount).to_be_focused()
        expect(amount).to_have_attribute("aria-invalid", "true")
        expect(watched.page.locator("[data-field='params.amount'] .error")).to_contain_text("7")


def test_a_job_is_watched_paused_and_resumed_without_loading_the_page_again(
    serve: Serve, browse: Browse
) -> None:
    with serve({"b": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            tile(page, "a", "done")
            tile(page, "b", "running")
            page.get_by_role("button", name="Pause").click()
            expect(page.get_by_text("wanted: pause")).to_be_visible()
            served.executor.script = scripted({})
            expect(page.locator(".job-head .badge")).to_have_text("paused")
            tile(page, "c", "waiting")
            page.get_by_role("button", name="Resume").click()
            tile(page, "c", "done")
            expect(page.locator(".job-head .badge")).to_have_text("completed")
            expect(page.locator("#news")).to_have_text("photos → job/: completed")


def test_a_job_is_cancelled_after_a_question(serve: Serve, browse: Browse) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            page.get_by_role("button", name="Cancel").click()
            page.get_by_role("button", name="Keep it").click()
            expect(page.get_by_role("dialog")).to_have_count(0)
            assert served.job(job)["wanted"] == "run"
            cancel(page)


def test_a_cancelled_job_is_continued_and_keeps_what_is_done(serve: Serve, browse: Browse) -> None:
    with serve({"b": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            tile(page, "a", "done")
            cancel(page)
            served.executor.script = scripted({})
            served.executor.orders.clear()
            page.get_by_role("button", name="Continue").click()
            expect(page.locator(".job-head .badge")).to_have_text("completed")
        assert [order.unit.name for order in served.executor.orders] == ["b", "c"]


def test_a_button_that_is_pressed_while_the_job_changes_still_works(
    serve: Serve, browse: Browse
) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            tile(page, "a", "running")
            page.get_by_role("button", name="Cancel").hover()
            page.mouse.down()
            with page.expect_event("requestfinished", lambda asked: asked.url.endswith(f"/{job}")):
                served.client.patch(f"/api/jobs/{job}", json={"priority": 60})
            page.evaluate(TWO_FRAMES)
            page.mouse.up()
            expect(page.get_by_role("dialog")).to_be_visible()


TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_a_failure_is_shown_with_its_reason_and_tried_again(serve: Serve, browse: Browse) -> None:
    broken = Failure(Reason.USER_ERROR, "a.png: the lens cap was on", is_fatal=True)
    with serve({"a": [broken], "b": ["hang"]}) as served:
        job = served.submit(keeps_going=True).json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            tile(page, "a", "failed")
            page.get_by_role("button", name="a: failed").click()
            expect(page.locator(".viewer .error")).to_have_text(
                "Could not be rendered: a.png: the lens cap was on"
            )
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Retry what failed").click()
            page.get_by_role("link", name="Log").click()
            expect(page.get_by_text("tried again · by user")).to_be_visible()


def test_before_and_after_divide_where_the_pointer_is(
    served: Served, browse: Browse, pictures: Path
) -> None:
    picture(pictures / "a.png")
    job = served.finished()["id"]
    with browse(served, f"/jobs/{job}") as watched:
        watched.page.get_by_role("button", name="a: done").click()
        divide_at_a_quarter(watched.page)


def divide_at_a_quarter(page: Page) -> None:
    divided = page.locator(".divided")
    divided.hover(position={"x": 16, "y": 10})
    assert divided.evaluate("e => parseInt(e.style.getPropertyValue('--at'))") == 25


def test_a_job_of_one_picture_shows_it_large_without_a_click(
    served: Served, browse: Browse, pictures: Path
) -> None:
    picture(pictures / "a.png")
    job = served.finished(inputs=["photos/a.png"], output="out/b.png")["id"]
    with browse(served, f"/jobs/{job}") as watched:
        page = watched.page
        expect(page.get_by_role("heading", name="a.png → b.png")).to_be_visible()
        divide_at_a_quarter(page)
        for absent in ("Next", "Render again", "Download zip"):
            expect(page.get_by_role("button", name=absent)).to_have_count(0)
        expect(page.get_by_role("link", name="Play")).to_have_count(0)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download b.png").click()
        assert download.value.path().read_bytes() == (served.folder / "out/b.png").read_bytes()


def test_a_picture_appears_in_its_place_as_soon_as_it_is_rendered(
    serve: Serve, browse: Browse
) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit(inputs=["photos/a.png"], output="out/b.png").json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            expect(page.get_by_text("there is no result yet")).to_be_visible()
            served.client.patch(f"/api/jobs/{job}", json={"wanted": "cancel"})
            served.wait(job, lambda found: found["state"] == "cancelled")
            served.executor.script = scripted({})
            served.client.post(f"/api/jobs/{job}/retry", json={"units": ["a"], "redo": True})
            expect(page.locator(".divided")).to_be_visible()


def test_a_unit_that_is_open_closes_when_another_page_comes(served: Served, browse: Browse) -> None:
    job = served.finished()["id"]
    with browse(served, f"/jobs/{job}") as watched:
        watched.page.get_by_role("button", name="a: done").click()
        expect(watched.page.get_by_role("dialog")).to_be_visible()
        watched.open("/new")
        expect(watched.page.get_by_role("heading", name="New job")).to_be_visible()
        expect(watched.page.get_by_role("dialog")).to_have_count(0)


def test_a_job_that_waits_for_another_says_so(serve: Serve, browse: Browse) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit().json()["id"]
        served.submit(output="out/later/", after=[job])
        with browse(served) as watched:
            row = watched.page.get_by_role("link", name="photos → later/")
            expect(row).to_contain_text(f"waits for job {job}")
            expect(row.locator(".badge")).to_have_text("waiting for a job")


def test_a_farm_that_is_gone_is_not_shown_as_active(serve: Serve, browse: Browse) -> None:
    with ExitStack() as stack:
        served = stack.enter_context(serve())
        with browse(served) as watched:
            served.finished(name="clouds")
            expect(watched.page.get_by_role("link", name="clouds")).to_contain_text("completed")
            stack.close()
            expect(
                watched.page.get_by_role("heading", name="No connection to the farm")
            ).to_be_visible()
            expect(watched.page.get_by_text("The farm is")).to_have_count(0)


def test_names_from_outside_stay_text(served: Served, browse: Browse, pictures: Path) -> None:
    (pictures / "a.png").rename(pictures / f"{HOSTILE}.png")
    job = served.finished(name=HOSTILE, owner=HOSTILE)["id"]
    with browse(served) as watched:
        page = watched.page
        expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
        for view in (
            f"/jobs/{job}",
            f"/jobs/{job}/log",
            f"/jobs/{job}/settings",
            f"/new?again={job}",
        ):
            watched.open(view)
            expect(page.get_by_text(HOSTILE).or_(page.locator("#f-name")).first).to_be_visible()
        watched.open(f"/jobs/{job}")
        page.locator(".tile").first.click()
        expect(page.get_by_role("heading", name=HOSTILE)).to_have_count(2)
        assert page.locator("img[src=x]").count() == 0


def test_the_page_says_what_was_left_out_of_a_jobs_inputs(
    served: Served, browse: Browse, pictures: Path
) -> None:
    folder = pictures / HOSTILE / "inner"
    folder.mkdir(parents=True)
    picture(folder / "deep.png")
    picture(folder.parent / "a.png")
    job = served.finished(inputs=[f"photos/{HOSTILE}/"])
    (note,) = job["notes"]
    assert HOSTILE in note
    with browse(served, f"/jobs/{job['id']}") as watched:
        expect(watched.page.get_by_role("list", name="Notes")).to_have_text(note)
        plain = served.finished(inputs=["photos/b.png"], output="out/b.png")["id"]
        watched.open(f"/jobs/{plain}")
        expect(watched.page.locator(".job-head .badge")).to_have_text("completed")
        expect(watched.page.get_by_role("list", name="Notes")).to_have_count(0)


def test_the_page_can_write_no_markup_even_by_mistake(served: Served, browse: Browse) -> None:
    with browse(served) as watched:
        refused = watched.page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>' } catch (e) { return e.name } }"
        )
        assert refused == "TypeError"
        watched.errors.clear()  # Chromium reports what it has refused


def test_the_page_is_used_by_keyboard_alone(served: Served, browse: Browse) -> None:
    served.finished(name="clouds")
    with browse(served) as watched:
        page = watched.page
        expect(page.get_by_role("link", name="clouds")).to_be_visible()
        walk_to(page, "a.job")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="clouds")).to_be_focused()
        walk_to(page, ".tile")
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("button", name="b: done")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        walk_to(page, "[type=range]")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".divided")).to_have_attribute("style", "--at: 51%;")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="b: done")).to_be_focused()


def walk_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is on such an element, and can be seen."""
    page.locator(selector).first.wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(
            "s => document.activeElement.matches(s) && document.activeElement.matches(':focus-visible')",
            selector,
        ):
            return
    raise AssertionError(f"the focus does not reach {selector}")


def test_the_page_asks_for_a_token_and_keeps_it_in_its_tab(serve: Serve, browse: Browse) -> None:
    with serve(token=True) as served:
        secret = served.client.headers["authorization"].removeprefix("Bearer ")
        job = served.finished()["id"]
        with browse(served, f"/jobs/{job}", refused=frozenset({401})) as watched:
            page = watched.page
            page.get_by_role("textbox", name="Token").fill("farm_wrong")
            page.keyboard.press("Enter")
            expect(page.get_by_text("does not know this token")).to_be_visible()
            page.get_by_role("textbox", name="Token").fill(secret)
            page.keyboard.press("Enter")
            expect(page.locator(".tile img").first).to_have_js_property("naturalWidth", 8)
            page.reload()
            tile(page, "a", "done")
            assert page.evaluate("localStorage.length + document.cookie.length") == 0


def test_a_reader_who_was_away_is_told_what_happened(serve: Serve, browse: Browse) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            tile(page, "a", "running")
            page.evaluate(AWAY, arg=True)
            served.client.patch(f"/api/jobs/{job}", json={"wanted": "cancel"})
            served.wait(job, lambda found: found["state"] == "cancelled")
            page.evaluate(AWAY, arg=False)
            tile(page, "a", "cancelled")


AWAY = """isAway => {
  Object.defineProperty(document, "hidden", { value: isAway, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone(served: Served, browse: Browse, scheme: str) -> None:
    job = served.finished(name="a-rather-long-name-without-any-space-" * 3)["id"]
    views = ["/", "/workers", "/new?task=copy", *(f"/jobs/{job}/{part}" for part in PARTS)]
    with browse(served, color_scheme=scheme, **PHONE) as watched:
        for view in views:
            watched.open(view)
            expect(watched.page.locator("h1")).to_be_visible()
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360, view


def test_a_choice_beside_a_field_can_be_read_on_a_phone(served: Served, browse: Browse) -> None:
    with browse(served, "/new?task=copy", **PHONE) as watched:
        choice = watched.page.get_by_label("What exists there")
        watched.page.locator("h1").wait_for()
        shown = choice.evaluate("e => e.getBoundingClientRect().width")
        choice.evaluate("e => { e.style.flex = 'none'; e.style.alignSelf = 'start'; }")
        assert shown >= choice.evaluate("e => e.getBoundingClientRect().width")


PARTS = ("frames", "film", "log", "settings")


def test_a_job_that_is_not_known_is_said_to_be(served: Served, browse: Browse) -> None:
    with browse(served, "/jobs/nothing", refused=frozenset({404})) as watched:
        expect(watched.page.get_by_text("no job has the id nothing")).to_be_visible()


@pytest.mark.parametrize("size", [0, 55, 56, 64, 4 * 2**20 + 1])
def test_the_page_takes_digests_as_everybody_does(
    served: Served, browse: Browse, size: int
) -> None:
    content = bytes(n * 7 % 256 for n in range(251)) * (size // 251 + 1)
    with browse(served) as watched:
        digest = watched.page.evaluate(
            """async size => {
              const { sha256 } = await import("/js/sha256.js");
              return sha256(new Blob([Uint8Array.from({ length: size }, (_, n) => (n % 251) * 7)]));
            }""",
            size,
        )
    assert digest == hashlib.sha256(content[:size]).hexdigest()


def test_a_film_in_the_making_is_played(serve: Serve, browse: Browse) -> None:
    with serve({"c": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}/film") as watched:
            page = watched.page
            expect(page.get_by_text("2 of 3 frames are finished")).to_be_visible()
            first = page.get_by_alt_text("Frame").get_attribute("src")
            page.get_by_role("button", name="Play").click()
            expect(page.get_by_label("Frame", exact=True)).to_have_value("1")
            assert page.get_by_alt_text("Frame").get_attribute("src") != first


def test_a_run_shows_its_curves_and_its_latest_pictures(served: Served, browse: Browse) -> None:
    job = served.finished(task="dcgan", output="out/run/", params={"batch": 2})["id"]
    folder = served.folder / "out" / "run"
    (folder / "checkpoints").mkdir()
    lines = [{"step": n, "generator": 2.0 - n / 10, "discriminator": None} for n in (1, 2, 3)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in (1, 2):
        picture(folder / "checkpoints" / f"step-{step:08}.grid.png")
    with browse(served, f"/jobs/{job}") as watched:
        page = watched.page
        expect(page.get_by_role("img", name="generator: generator 1.7")).to_be_visible()
        expect(page.locator(".pictures figcaption")).to_have_text(["step 2", "step 1"])
        expect(page.get_by_alt_text("Pictures at step 2")).to_have_js_property("naturalWidth", 64)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download zip").click()
        assert "log.jsonl" in ZipFile(download.value.path()).namelist()


def test_a_job_is_run_again_with_its_settings_and_replaces_files_only_if_told_to(
    served: Served, browse: Browse
) -> None:
    job = served.finished(params={"amount": 0.25}, inputs=["photos/a.png"], output="out/a.png")[
        "id"
    ]
    with browse(served, f"/jobs/{job}", refused=frozenset({409})) as watched:
        page = watched.page
        page.get_by_role("link", name="Run again").click()
        expect(page.get_by_label("Amount")).to_have_value("0.25")
        page.get_by_role("button", name="Submit").click()
        expect(page.locator("[data-field=output] .error")).to_contain_text("exists")
        page.get_by_label("What exists there").select_option("overwrite")
        page.get_by_role("button", name="Submit").click()
        expect(page.locator(".divided")).to_be_visible()
        assert job not in page.url


def test_results_are_downloaded_also_where_a_token_is_needed(
    serve: Serve, browse: Browse, tmp_path: Path
) -> None:
    with serve(token=True) as served:
        job = served.finished()["id"]
        with browse(served, f"/jobs/{job}", refused=frozenset({401})) as watched:
            page = watched.page
            secret = served.client.headers["authorization"].removeprefix("Bearer ")
            page.get_by_role("textbox", name="Token").fill(secret)
            page.keyboard.press("Enter")
            with page.expect_download() as download:
                page.get_by_role("button", name="Download zip").click()
            assert download.value.suggested_filename == f"{job}.zip"
            assert sorted(ZipFile(download.value.path()).namelist()) == ["a.png", "b.png", "c.png"]


def test_the_priority_of_a_job_is_changed(serve: Serve, browse: Browse) -> None:
    with serve({"a": ["hang"]}) as served:
        job = served.submit().json()["id"]
        with browse(served, f"/jobs/{job}") as watched:
            watched.page.get_by_label("Priority").fill("80")
            watched.page.keyboard.press("Enter")
            served.wait(job, lambda found: found["priority"] == 80)


def test_a_long_job_is_shown_as_far_as_one_scrolls(
    served: Served, browse: Browse, pictures: Path
) -> None:
    for number in range(1, 301):
        (pictures / f"frame-{number:04}.png").write_bytes((pictures / "a.png").read_bytes())
    job = served.submit(inputs=["photos/frame-*.png"]).json()["id"]
    with browse(served, f"/jobs/{job}") as watched:
        page = watched.page
        expect(page.locator(".tile")).to_have_count(200)
        page.mouse.wheel(0, 20_000)
        expect(page.locator(".tile")).to_have_count(300)
        page.get_by_label("From unit").fill("250")
        page.keyboard.press("Enter")
        expect(page.locator(".tile").first).to_have_attribute("title", re.compile("frame-0250"))


def test_units_that_were_asked_for_before_do_not_come_among_others(
    served: Served, browse: Browse, pictures: Path
) -> None:
    for number in range(1, 31):
        (pictures / f"frame-{number:04}.png").write_bytes((pictures / "a.png").read_bytes())
    job = served.finished(inputs=["photos/frame-*.png"])["id"]
    with browse(served, f"/jobs/{job}") as watched:
        page, held = watched.page, list[Route]()

        def hold(route: Route) -> None:
            held.append(route)

        expect(page.locator(".tile")).to_have_count(30)
        page.route("**/units?after=-1&*", hold)
        with page.expect_request("**/units?after=-1&*"):
            page.get_by_label("Show").select_option("done")
        page.get_by_label("From unit").fill("20")
        page.keyboard.press("Enter")
        expect(page.locator(".tile").first).to_have_attribute("title", re.compile("frame-0020"))
        with page.expect_response("**/units?after=-1&*") as late:
            held[0].continue_()
        late.value.finished()
        page.evaluate("new Promise((done) => setTimeout(done))")  # the page has taken the answer
        expect(page.locator(".tile")).to_have_count(11)


def test_the_scripts_of_the_page_are_small_to_load(served: Served) -> None:
    scripts = [path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js")]
    sizes = []
    for script in scripts:
        with served.client.stream("GET", f"/{script}") as answer:
            sizes.append(sum(map(len, answer.iter_raw())))
    assert sum(sizes) < 60_000


def test_the_farms_jobs_and_workers_are_live(serve: Serve, browse: Browse) -> None:
    with serve({"b": ["hang"]}) as served, browse(served) as watched:
        page = watched.page
        expect(page.get_by_text("No jobs yet")).to_be_visible()
        served.submit(name="clouds")
        expect(page.get_by_role("link", name="clouds")).to_contain_text("1 of 3 frames")
        expect(page.get_by_role("heading", name="The farm is active")).to_be_visible()
        page.get_by_role("link", name="Workers").first.click()
        expect(page.get_by_role("row", name="fake-1")).to_contain_text("busy")
        served.executor.script = scripted({})
        expect(page.get_by_role("row", name="fake-1")).to_contain_text("idle")


def test_the_jobs_of_one_state_are_shown_alone(served: Served, browse: Browse) -> None:
    served.finished(name="clouds")
    with browse(served) as watched:
        page = watched.page
        page.get_by_label("Show").select_option("failed")
        expect(page.get_by_text("No job is in this state.")).to_be_visible()
        page.get_by_label("Show").select_option("completed")
        expect(page.get_by_role("link", name="clouds")).to_be_visible()


def test_a_job_that_has_ended_renders_again_what_failed_and_any_frames(
    serve: Serve, browse: Browse
) -> None:
    broken = Failure(Reason.USER_ERROR, "a.png: the lens cap was on", is_fatal=True)
    with serve({"a": [broken]}) as served:
        job = served.finished(keeps_going=True)["id"]
        with browse(served, f"/jobs/{job}") as watched:
            page = watched.page
            expect(page.locator(".job-head .badge")).to_have_text("completed with failures")
            page.get_by_role("button", name="Retry what failed").click()
            tile(page, "a", "done")
            expect(page.locator(".job-head .badge")).to_have_text("completed")
            served.executor.orders.clear()
            page.get_by_label("Frames to render again").fill("2")
            page.get_by_role("button", name="Render again").click()
            served.wait(
                job, lambda _: [order.unit.name for order in served.executor.orders] == ["b"]
            )
