"""The browser that tests look through hides nothing from them."""

import re

import browser
import pytest
from browser import PHONE, Watch, is_local, serving, sideways_scroll
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

_PAGE = """<!doctype html><html lang="en"><title>a page</title>
<link rel="icon" href="data:,">"""


def _app(body):
    async def answer(request):
        return HTMLResponse(_PAGE + body)

    return Starlette(routes=[Route("/", answer)])


def _problems(chromium, body, *, expected=""):
    context = chromium.new_context()
    watch = Watch(expected)
    watch.follow(context)
    page = context.new_page()
    with serving(_app(body)) as address:
        page.goto(address)
        page.wait_for_timeout(200)
    context.close()
    return watch.problems


def test_a_page_without_faults_passes(open_page):
    page = open_page(viewport=PHONE)
    with serving(_app("<h1>Scores</h1>")) as address:
        page.goto(address)
        assert page.title() == "a page"
        assert page.locator("h1").inner_text() == "Scores"
        assert sideways_scroll(page) == 0


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<script>console.error('lost')</script>", "console: lost"),
        ("<script>throw new Error('lost')</script>", "exception: .*lost"),
        ("<img src='https://example.org/a.png'>", "leaves this machine: .*example"),
        ("<img src='/absent.png'>", "status of 404"),
    ],
)
def test_a_fault_of_a_page_is_seen(chromium, body, found):
    problems = _problems(chromium, body)
    assert any(re.search(found, problem) for problem in problems), problems


def test_a_fault_that_a_test_provokes_may_be_expected(chromium):
    body = "<img src='/absent.png'>"
    assert _problems(chromium, body, expected="status of 404") == []


def test_files_and_this_machine_are_local():
    assert is_local("file:///tmp/report.html")
    assert is_local("http://localhost:8000/rate")
    assert is_local("data:image/png;base64,AAAA")
    assert not is_local("http://10.0.0.1/")
    assert not is_local("https://127.0.0.1.example.org/")


def test_without_a_browser_the_tests_say_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert browser.installed_chromium() is None
    assert "install Debian's package chromium" in browser.NO_BROWSER
