"""What stands before every page lets our own pages and programs through, no other."""

import re

import pytest

from base_models.errors import UsageError
from ensemble.server.guard.envelope import SECURITY_HEADERS
from ensemble.server.settings import Limits, ServerSettings, is_loopback

TOKEN = "correct-horse-battery"
PAGE = {"accept": "text/html"}
ADDRESSES = (
    "/",
    "/api",
    "/openapi.json",
    "/health",
    "/stack",
    "/static/server.css",
    "/static/page.css",
    "/nothing",
    "/results/nothing",
)


# ---- headers


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_answer_has_an_id_and_the_headers_of_security(client, address):
    answer = client.get(address)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
    assert "cache-control" in answer.headers
    # Other sites may not read anything.
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_policy_allows_nothing_inside_a_page_and_no_page_has_it(client):
    policy = SECURITY_HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    for address in ("/", "/api", "/nothing"):
        text = client.get(address, headers=PAGE).text
        assert not re.search(r"<style|<script(?! src=)|\son\w+=|\sstyle=", text)
        assert not re.search(r'(src|href|action)="(https?:)?//', text)


def test_a_failure_is_told_without_its_cause_and_the_server_goes_on(
    client, monkeypatch, caplog
):
    intake = client.app.state.intake

    def fail(*_):
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(intake.queue, "take_place", fail)
    answer = client.post("/score", files={"files": ("a.wav", b"1")})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text
    assert client.get("/health").status_code == 200


# ---- names and origins


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8765", "localhost:8765", "localhost", "[::1]:8765", "192.168.7.7:80"],
)
def test_addresses_and_localhost_are_names_of_ours(client, host):
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil:8765",
        "",
        "[x",
        # Addresses of answers, and once the path that was guarded, are made of it.
        "127.0.0.1:80/static/?x=",
        "[::1]/static/?",
        "127.0.0.1:80#",
        "127.0.0.1:x@evil.example",
        "[127.0.0.1]evil.example",
        "127.0.0.1:8765:8765",
    ],
)
def test_other_names_are_refused_since_their_owner_may_point_them_here(client, host):
    answer = client.get("/health", headers={"host": host})
    assert answer.status_code == 421
    assert "--name" in answer.json()["error"]["message"]


def test_a_named_host_is_let_through(make_client):
    client = make_client(names=("Mos.Example",))
    assert client.get("/health", headers={"host": "mos.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("address", ["/", "/score", "/results/x/delete", "/login"])
def test_what_another_site_sends_is_refused(client, headers, address):
    answer = client.post(address, headers=headers, files={"files": ("a.wav", b"1")})
    assert answer.status_code == 403
    assert answer.json()["error"]["word"] == "origin"


def test_our_own_pages_and_programs_may_send(client, wav):
    for headers in ({}, {"origin": "http://127.0.0.1:8765"}):
        files = {"files": ("a.wav", wav())}
        assert client.post("/score", files=files, headers=headers).status_code == 200


def test_a_preflight_of_another_site_gets_no_leave(client):
    headers = {
        "origin": "http://evil.example",
        "access-control-request-method": "POST",
    }
    answer = client.options("/score", headers=headers)
    assert answer.status_code in (403, 405)
    assert "access-control-allow-origin" not in answer.headers


# ---- tokens


@pytest.fixture
def guarded(make_client):
    return make_client(token=TOKEN)


@pytest.mark.parametrize("address", ["/api", "/stack", "/openapi.json", "/results/x"])
def test_without_the_token_nothing_is_told(guarded, address):
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"cookie": f"stackedmos={TOKEN}"},
    ):
        answer = guarded.get(address, headers=headers)
        assert answer.status_code == 401
        assert TOKEN not in answer.text
    assert guarded.get("/health").json()["status"] == "ok"


def test_a_program_shows_the_token_as_a_header(guarded):
    answer = guarded.get("/stack", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


def test_a_browser_shows_the_token_once_in_the_address(guarded):
    answer = guarded.get(f"/api?token={TOKEN}&a=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/api?a=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    # The cookie does not tell the token, which others may use elsewhere.
    assert TOKEN not in cookie
    assert guarded.get("/api").status_code == 200
    assert guarded.get("/api?token=wrong-wrong-wrong").status_code == 200


def test_a_wrong_token_in_the_address_is_refused(guarded):
    assert guarded.get("/api?token=wrong-wrong-wrong").status_code == 401


def test_a_person_logs_in_on_a_page_and_goes_on_where_they_were(guarded):
    page = guarded.get("/api", headers=PAGE)
    assert page.status_code == 401
    assert 'value="/api"' in page.text
    wrong = guarded.post("/login", data={"token": "no", "next": "/api"})
    assert wrong.headers["location"] == "/login?wrong=1"
    assert "not the token" in guarded.get("/login?wrong=1", headers=PAGE).text
    answer = guarded.post("/login", data={"token": TOKEN, "next": "/api"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/api")
    assert guarded.get("/api").status_code == 200


@pytest.mark.parametrize(
    "target", ["//evil.example", "http://evil.example", "/\\evil.example", "", "x"]
)
def test_a_login_leads_to_pages_of_this_server_only(guarded, target):
    answer = guarded.post("/login", data={"token": TOKEN, "next": target})
    assert answer.headers["location"] == "/"


def test_a_cookie_is_worth_nothing_at_another_server(guarded, make_client):
    guarded.get(f"/?token={TOKEN}")
    other = make_client(token=TOKEN)
    cookie = "; ".join(f"{name}={value}" for name, value in guarded.cookies.items())
    assert other.get("/stack", headers={"cookie": cookie}).status_code == 401


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "undefined", "cp037"])
def test_a_login_in_an_odd_encoding_is_refused(guarded, charset):
    form = f"multipart/form-data; boundary=B; charset={charset}"
    body = (
        b'--B\r\nContent-Disposition: form-data; name="token"\r\n\r\n'
        b"+2AA-\\ud800\r\n--B--\r\n"
    )
    answer = guarded.post("/login", content=body, headers={"content-type": form})
    assert answer.status_code == 415
    assert "UTF-8" in answer.json()["error"]["message"]


def test_a_login_that_is_too_large_or_has_files_is_refused(guarded):
    def body():
        for _ in range(30):
            yield b"0" * 100_000

    form = {"content-type": "application/x-www-form-urlencoded"}
    assert guarded.post("/login", content=body(), headers=form).status_code == 413
    assert guarded.post("/login", files={"token": ("a", b"x")}).status_code == 400


def test_the_token_is_asked_for_before_a_body_is_read(guarded):
    def body():
        raise AssertionError("read")
        yield b""

    assert guarded.post("/score", content=body()).status_code == 401


# ---- settings


@pytest.mark.parametrize("token", ["short", "with a space in it", "sécrète-sécrète"])
def test_a_token_that_is_guessed_or_cannot_be_sent_is_refused(token):
    with pytest.raises(UsageError, match=r"at least 12 letters.*--token new"):
        ServerSettings(token=token)


def test_the_token_is_not_in_what_is_printed_of_the_settings():
    assert TOKEN not in repr(ServerSettings(token=TOKEN))


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_is_a_number_of_16_bits(port):
    with pytest.raises(UsageError, match=r"--port is a number in 0\.\.65535"):
        ServerSettings(port=port)


@pytest.mark.parametrize("name", ["megabytes", "seconds", "clips", "timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limits_are_above_0(name, value):
    with pytest.raises(UsageError, match=f"--max-{name} must be above 0"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.5", True), ("::1", True), ("::", False), ("example.org", False)],
)
def test_only_loopback_counts_as_this_machine_alone(host, is_local):
    assert is_loopback(host) is is_local
