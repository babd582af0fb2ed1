"""The pages in a real browser: Chromium of the system, driven by Playwright.

`open_page` is a fixture of every test (see `conftest`). A page that it opened is
watched until the test has ended: an error on the console, an exception of a script, or
a request that leaves this machine fails the test. Where no Chromium is installed, the
tests that ask for it are skipped, with the reason in the summary.

Notes
-----
Pages of the server forbid ``eval`` (content security policy), which Playwright's
``wait_for_function`` needs; wait for a selector instead, such as ``#next:enabled``.
"""

import contextlib
import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names under which a Chromium may be installed, the usual one first."""
NO_BROWSER = (
    "NO BROWSER: none of "
    f"{', '.join(PROGRAMS)} is on PATH, so the pages are not looked at; install "
    "Debian's package chromium"
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
"""Viewports, in CSS pixels."""
_LOCAL_SCHEMES = {"file", "data", "blob", "about"}
_LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]", "::1"}
_SWITCHES = (
    # Names of other hosts are unknown, so that nothing leaves even by mistake.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    # Tests play clips without a device that sounds, and without a click before.
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    # /dev/shm of a container may hold 64 MB only.
    "--disable-dev-shm-usage",
)
_START_SECONDS = 15.0


class Watch:
    """What a page did that it must not.

    Parameters
    ----------
    expected : str
        Regular expression of messages on the console that the test provokes, such as
        ``"status of 404"``; empty: none.
    """

    def __init__(self, expected=""):
        self.problems = []
        self._expected = expected

    def follow(self, context):
        """Listen to all pages of a browser context."""
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._note(f"exception: {error.error}"))
        context.on("request", self._see)

    def _hear(self, message):
        if message.type == "error":
            self._note(f"console: {message.text} ({message.location.get('url')})")

    def _see(self, request):
        if not is_local(request.url):
            self.problems.append(f"request leaves this machine: {request.url}")

    def _note(self, text):
        # A browser may ask for the icon of a page when its server has ended already.
        if "icon.svg" in text and "ERR_CONNECTION_REFUSED" in text:
            return
        if not (self._expected and re.search(self._expected, text)):
            self.problems.append(text)


def is_local(url):
    """Whether what a page asks for comes from this machine.

    >>> is_local("http://127.0.0.1:8000/rate"), is_local("https://fonts.example/a.css")
    (True, False)
    """
    parts = urlsplit(url)
    if parts.scheme in _LOCAL_SCHEMES:
        return True
    return (parts.hostname or "") in _LOCAL_HOSTS


def installed_chromium():
    """Path of Chromium on this machine, or None."""
    found = (shutil.which(name) for name in PROGRAMS)
    return next((path for path in found if path), None)


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium for the tests of one file.

    It lasts for a file and not for the session, because Playwright keeps an event loop
    in this thread meanwhile, and no other test could start one.
    """
    program = installed_chromium()
    if program is None:
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright

    # The sandbox of Chromium refuses to start as root, as in a container.
    unboxed = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*_SWITCHES, *unboxed]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Function that opens an empty page in a browser of its own (no shared cookies).

    It takes ``viewport`` (`DESKTOP` or `PHONE`), ``expected`` (see `Watch`) and any
    option of Playwright's ``new_context``, such as ``color_scheme="dark"``.
    """
    with contextlib.ExitStack() as stack:
        watches = []

        def opened(*, viewport=DESKTOP, expected="", **options):
            context = chromium.new_context(viewport=viewport, **options)
            stack.callback(context.close)
            watch = Watch(expected)
            watch.follow(context)
            watches.append(watch)
            page = context.new_page()
            # Long, since a machine that runs tests is busy.
            page.set_default_timeout(30_000)
            return page

        yield opened
    problems = [problem for watch in watches for problem in watch.problems]
    assert not problems, problems


@contextlib.contextmanager
def serving(app):
    """Serve an ASGI application on a free port of this machine.

    Yields its address, such as ``http://127.0.0.1:40123``, without a slash at the end.
    """
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until = time.monotonic() + _START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server ended while it started"
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_START_SECONDS)
        listener.close()


def sideways_scroll(page):
    """CSS pixels by which a page is wider than its window; 0 where all fits."""
    return page.evaluate(
        "() => document.scrollingElement.scrollWidth - window.innerWidth"
    )


def shot(page, name, folder=None):
    """Write a picture of the whole page to ``folder / name.png``, to be looked at.

    Without a folder the one in the environment variable SCREENSHOTS is taken; where
    there is none, nothing is written.
    """
    target = folder or os.environ.get("SCREENSHOTS")
    if target:
        path = Path(target) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=path, full_page=True)
