"""One walk through every view by the keyboard alone: each thing is reached by Tab, seen to be focused, and worked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.filmed import Filmed, filmed
from tests.integration.conftest import wait_until

playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need the playwright package")
expect = playwright_api.expect

LOAD_MS = 60_000
MOST_TABS = 120
# Whether the focused thing is in sight and drawn as focused: by itself, or by what is round it.
FOCUS_SHOWS = """() => {
  const there = document.activeElement;
  const box = there.getBoundingClientRect();
  const drawn = (each) => {
    const style = getComputedStyle(each);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  };
  const near = [there, there.parentElement, there.nextElementSibling, ...(there.labels ?? [])].filter(Boolean);
  return there.matches(":focus-visible") && near.some(drawn) && box.bottom > 0 && box.top < innerHeight;
}"""


@pytest.fixture
def films(database_url: str, tmp_path: Path) -> Iterator[Filmed]:
    with filmed(database_url, tmp_path) as found:
        yield found


@pytest.fixture
def page(browser: Any, films: Filmed) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=films.site.address)
    page = films.site.watch(context.new_page())
    page.add_init_script("window.showOpenFilePicker = undefined")  # that picker is the browser's own, out of reach here
    page.on("filechooser", lambda _: None)  # from now on: who only begins to wait at the key may come too late
    page.goto("/")
    yield page
    context.close()


def tab_to(page: Any, selector: str, key: str = "Tab") -> Any:
    """Presses Tab until it is there. Nothing on the way traps the focus, loses it twice or hides it."""
    target, before, lost = page.locator(selector).first, None, 0
    expect(target).to_be_visible(timeout=LOAD_MS)
    for _ in range(MOST_TABS):
        page.keyboard.press(key)
        here = page.evaluate(
            "document.activeElement === document.body ? null : document.activeElement.outerHTML.slice(0, 300)"
        )
        lost += here is None  # once round, over the browser's own bar
        assert lost <= 1, f"the focus is lost on the way to {selector}"
        if here is None or page.evaluate("document.activeElement.matches('h1[tabindex=\"-1\"]')"):
            continue  # a view that came just now has the focus at its heading, which no Tab comes to
        words = page.evaluate("document.activeElement.matches('textarea, select, input, [role=slider], video')")
        assert here != before or words, f"the focus is trapped at {here}"
        before = here
        wait_until(lambda: page.evaluate(FOCUS_SHOWS), 20, f"somebody to see the focus at {here}")
        if target.evaluate("each => each === document.activeElement || each.contains(document.activeElement)"):
            return target
    pytest.fail(f"Tab does not come to {selector}")


def follow(page: Any, selector: str) -> None:
    tab_to(page, selector)
    page.keyboard.press("Enter")


def test_every_view_is_walked_through_and_worked_by_the_keyboard_alone(page: Any, films: Filmed) -> None:
    film = films.numbered(seconds=6)

    # New: a file is chosen, its shape, and it is started.
    tab_to(page, "#file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(film)
    expect(page.locator(".film canvas")).to_be_visible(timeout=LOAD_MS)
    expect(page.locator("#submit")).to_be_focused()
    tab_to(page, 'input[name="aspect"]:checked', "Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.value") == "1:1"
    follow(page, "#submit")
    page.wait_for_url(re.compile("#/jobs/[0-9a-f-]{36}$"), timeout=LOAD_MS)
    job_id = next(job["id"] for job in films.site.jobs().values())
    films.wait_planned(job_id)
    films.studio.run()

    # Jobs: found in the list, and opened.
    follow(page, '#nav a[href="#/jobs"]')
    follow(page, f'a[href="#/jobs/{job_id}"]')
    page.wait_for_url(re.compile(f"#/jobs/{job_id}$"))

    # Review: a step, play and stop, then on to the editor.
    expect(page.locator(".of-source video")).to_be_visible(timeout=LOAD_MS)
    tab_to(page, ".scrub")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: "frame 1" in page.locator(".where").inner_text(), 60, "the next frame")
    tab_to(page, ".play", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".play")).to_have_text(re.compile("Pause|Stop"))
    page.keyboard.press("Enter")
    expect(page.locator(".play")).to_have_text("Play")
    follow(page, "button:text-is('Edit')")

    # Edit: a keyframe by a key, taken back and done again.
    expect(page.locator(".edit-stage[aria-busy=false]")).to_be_visible(timeout=LOAD_MS)
    tab_to(page, "[role=application]")
    page.keyboard.press("p")
    keyframe = page.get_by_role("button", name="Keyframe at")
    expect(keyframe).to_have_count(1)
    follow(page, "button:text-is('Undo')")
    expect(keyframe).to_have_count(0)
    follow(page, "button:text-is('Redo')")
    expect(keyframe).to_have_count(1)
    expect(page.locator(".edit-stage[aria-busy=false]")).to_be_visible(timeout=LOAD_MS)
    tab_to(page, "button:text-is('Render')")

    # Fleet: paused with a reason, said on every view, and resumed.
    follow(page, '#nav a[href="#/fleet"]')
    follow(page, ".fleet-pause button")
    expect(page.locator("#pause-reason")).to_be_focused()
    page.keyboard.type("stock-taking")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("stock-taking")
    expect(page.locator(".fleet-pause button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).not_to_contain_text("stock-taking")

    # Back to the content from anywhere.
    page.evaluate("document.activeElement.blur()")
    follow(page, "a.skip")
    expect(page.locator("#view")).to_be_focused()
