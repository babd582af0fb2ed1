"""The command as a process: it starts in words, serves many at once, and stops well."""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from commands import call, refused, start, wait_until

from ensemble.server.run import address_of

TOKEN = "correct-horse-battery"


@contextlib.contextmanager
def server(tmp_path, *options):
    """A server in a process of its own, and its address; it is ended afterwards."""
    facts = tmp_path / "server.json"
    running = start(
        *("serve_mos", *options, "--port", "0", "--json", facts),
        *("--artifacts", tmp_path / "artifacts"),
        stdout=subprocess.PIPE,
    )
    try:
        wait_until(facts.is_file, running)
        yield running, json.loads(facts.read_text())["address"]
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate(timeout=60)


def ended(running):
    """Exit code and what was said."""
    out, err = running.communicate(timeout=100)
    return running.returncode, out, err


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files of servers that are started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def stops_and_leaves_nothing(running, address, number, temporary):
    """End an idle server by a signal, and look at what it leaves."""
    assert [path.name[:10] for path in temporary.iterdir()] == ["serve_mos-"]
    running.send_signal(number)
    code, out, err = ended(running)
    assert (code, out) == (0, f"{address}\n"), err
    assert "Traceback" not in err
    assert not list(temporary.iterdir())


def test_200_requests_4_at_a_time_are_all_answered_rightly_and_ctrl_c_ends_cleanly(
    stack_folder, clips, tmp_path, capsys, temporary
):
    data = {}
    for path in clips["audio"]:
        with open(path, "rb") as file:
            data[path] = file.read()
    paths = list(data)

    with server(tmp_path, stack_folder) as (running, address):
        local = threading.local()

        def ask(k):
            if not hasattr(local, "client"):
                local.client = httpx.Client(base_url=address, timeout=100)
            path = paths[k % len(paths)]
            files = {"files": (f"request-{k}.wav", data[path])}
            began = time.monotonic()
            answer = local.client.post("score", files=files, data={"prompt": "drums"})
            return answer, time.monotonic() - began

        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, range(200)))
        seconds = time.monotonic() - began
        assert httpx.get(f"{address}health").json()["taken"] == 0
        stops_and_leaves_nothing(running, address, signal.SIGINT, temporary)

    scores_of = {}
    for k, (answer, _) in enumerate(answers):
        assert answer.status_code == 200, answer.text
        (row,) = answer.json()["scores"]
        assert (row["clip_id"], row["status"]) == (f"request-{k}", "ok")
        # The same clip has the same score, whoever asked at the same time.
        score = (row["mi"], row["ta"])
        assert scores_of.setdefault(paths[k % len(paths)], score) == score
    ids = {answer.json()["request_id"] for answer, _ in answers}
    assert len(ids) == 200
    waits = sorted(wait for _, wait in answers)
    with capsys.disabled():
        sys.stdout.write(
            f"\n200 requests, 4 at a time: {seconds:.1f} s, median {waits[100]:.2f} s, "
            f"longest {waits[-1]:.2f} s, none lost\n"
        )


def test_ctrl_c_finishes_what_is_waited_for(stack_folder, clips, tmp_path):
    with server(tmp_path, stack_folder) as (running, address):
        with open(clips["audio"][0], "rb") as file:
            data = file.read()
        files = [("files", (f"{k}.wav", data + bytes(k))) for k in range(40)]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx.post, f"{address}score", files=files, timeout=100)
            wait_until(
                lambda: httpx.get(f"{address}health").json()["taken"] == 1, running
            )
            # Until the upload is in the queue, it would be refused.
            time.sleep(0.5)
            running.send_signal(signal.SIGINT)
            answer = asked.result(100)
        code, _, err = ended(running)
    assert code == 0, err
    assert "stopped" in err
    if answer.status_code == 200:
        assert len(answer.json()["scores"]) == 40
    else:
        assert answer.json()["error"]["word"] == "stopping"


def test_an_idle_server_stops_on_sigterm_and_leaves_nothing_behind(
    stack_folder, tmp_path, temporary
):
    with server(tmp_path, stack_folder) as (running, address):
        assert httpx.get(address).status_code == 200
        stops_and_leaves_nothing(running, address, signal.SIGTERM, temporary)


def test_a_token_comes_from_the_environment_and_is_printed_for_the_browser(
    stack_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("STACKEDMOS_TOKEN", TOKEN)
    with server(tmp_path, stack_folder) as (running, address):
        assert httpx.get(f"{address}stack").status_code == 401
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{address}stack", headers=headers).status_code == 200
        assert json.loads((tmp_path / "server.json").read_text())["asks_for_token"]
        running.send_signal(signal.SIGINT)
        assert ended(running)[1] == f"{address}?token={TOKEN}\n"


# ---- what is refused at the start


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(stack_folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = call("serve_mos", stack_folder, "--port", port)
    refused(2, result, rf"Port {port} of 127.0.0.1 is taken.*--port \(0: a free one\)")


def test_others_are_let_in_only_with_a_token_or_on_purpose(stack_folder):
    words = ("serve_mos", stack_folder, "--host", "0.0.0.0")
    refused(2, call(*words), "--token.*--without-token")
    words = (*words, "--token", TOKEN, "--without-token")
    refused(2, call(*words), "exclude each other")


def test_an_address_of_another_machine_is_refused(stack_folder):
    words = ("serve_mos", stack_folder, "--host", "192.0.2.1", "--token", TOKEN)
    refused(2, call(*words), "192.0.2.1 is no address of this machine")


def test_without_a_stack_it_says_where_one_comes_from(tmp_path):
    words = ("serve_mos", "--port", "0", "--artifacts", tmp_path / "none")
    refused(2, call(*words), "no trained stack ships; fit one from rated clips")
    words = ("serve_mos", tmp_path / "nothing", "--port", "0")
    code, _, err = call(*words)
    assert code in (2, 4)
    assert "nothing" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "99999"), "--port is a number in 0..65535"),
        (("--token", "short"), "at least 12 letters"),
        (("--max-megabytes", "0"), "--max-megabytes must be above 0"),
        (("--timeout", "x"), "--timeout takes a number"),
    ],
)
def test_options_that_cannot_be_used_are_refused(stack_folder, options, message):
    refused(2, call("serve_mos", stack_folder, *options), message)


def test_an_address_is_one_that_a_browser_takes():
    with socket.create_server(("0.0.0.0", 0)) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening) == f"http://127.0.0.1:{port}/"
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
            port = listening.getsockname()[1]
            assert address_of(listening) == f"http://[::1]:{port}/"
