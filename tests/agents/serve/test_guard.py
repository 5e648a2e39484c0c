"""Who may ask, and what every answer carries, asked of the real server."""

from __future__ import annotations

import pytest

from agents.serve.place import TOKEN_VARIABLE

CHOSEN = 's3cret;with,odd"chars-0123456789'
QUOTED = "".join(f"%{ord(c):02x}" for c in CHOSEN)


@pytest.fixture
def locked(serve):
    return serve(environ={TOKEN_VARIABLE: CHOSEN})


def test_only_reading_is_answered(serve):
    served = serve()
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        for path in ("/", "/api/status", "/no/such/page"):
            answer = served.ask(path, method)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD"), (method, path)


def test_head_has_the_headers_and_no_body(serve):
    answer = serve().ask("/", "HEAD")
    assert (answer.status, answer.text) == (200, "")


def test_name_of_another_site_is_refused(serve):
    served = serve()
    foreign = ("evil.example", f"evil.example:{served.port}", "127.0.0.1.evil.example", "10.0.0.7")
    for host in (*foreign, "[::1", "[::1]evil.example", "::1", " ", ""):
        answer = served.ask("/", Host=host)
        # Without a Host header the server itself refuses.
        assert answer.status in {400, 421}, host
        assert "Nothing has run" not in answer.text, host


def test_names_of_this_machine_are_let_in_at_any_port(serve):
    served = serve()
    # A tunnel (ssh -L) has a port of its own.
    for host in ("localhost", "LOCALHOST:9000", "localhost.", "127.0.0.1", "[::1]:8765"):
        assert served.ask("/", Host=host).status == 200, host


def test_address_is_let_in_where_the_server_listens_on_all(serve):
    served = serve("0.0.0.0")
    bearer = f"Bearer {served.token}"
    assert served.ask("/", Host="10.0.0.7:8765", Authorization=bearer).status == 200
    assert served.ask("/", Host="evil.example", Authorization=bearer).status == 421


def test_nothing_is_shown_without_the_token(locked):
    tries = [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {CHOSEN}"},
        {"Authorization": f"Bearer {CHOSEN[:-1]}"},
        {"Authorization": f"Bearer {CHOSEN}x"},
        {"Authorization": "Bearer "},
        {"Cookie": f"watcher_{locked.port}=x; watcher_1={CHOSEN}"},
    ]
    for path in ("/", "/static/live.js", "/api/status", "/nowhere", "/?token=wrong", "/?token="):
        for headers in tries:
            answer = locked.ask(path, **headers)
            assert answer.status == 401, (path, headers)
            assert "Set-Cookie" not in answer.headers
            assert CHOSEN not in answer.text


def test_token_in_the_address_is_kept_in_a_cookie_that_only_this_server_gets(locked):
    first = locked.ask(f"/?token={QUOTED}")
    assert first.status == 200
    cookie, _, rest = first.headers["Set-Cookie"].partition("; ")
    assert cookie.startswith(f"watcher_{locked.port}=")
    assert {part.strip().lower() for part in rest.split(";")} == {
        "httponly",
        "path=/",
        "samesite=strict",
    }
    # Other programs on this host leave theirs too, in whatever form.
    second = locked.ask("/api/status", Cookie=f'other={{"a": 1}}; {cookie}; x')
    assert second.status == 200
    assert "Set-Cookie" not in second.headers


def test_wrong_token_in_the_address_is_not_helped_by_a_cookie(locked):
    cookie = locked.ask(f"/?token={QUOTED}").headers["Set-Cookie"].partition(";")[0]
    assert locked.ask("/?token=wrong", Cookie=cookie).status == 401


def test_program_shows_the_token_in_a_header(locked):
    assert locked.ask("/api/status", Authorization=f"bearer {CHOSEN}").status == 200


def test_every_answer_is_hardened(serve):
    served = serve()
    for path in ("/", "/live", "/api/status", "/nowhere", "/static/page.css"):
        headers = served.ask(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy  # no source beyond this server
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "server" not in headers


def test_refusal_is_hardened_too(locked):
    headers = locked.ask("/").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
