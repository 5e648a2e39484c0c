"""The pages in headless Chromium: no complaint on its console, and the live page lives."""

from __future__ import annotations

from agents.serve.place import TOKEN_VARIABLE

RUN = "20261122-020318-ab12"
CHOSEN = "0123456789abcdef-token"


def shows(text, where="#live"):
    return f"document.querySelector('{where}').textContent.includes({text!r})"


def test_live_page_shows_a_change_without_being_loaded_again(browser, serve, site):
    site.start()
    site.attempt()
    site.progress(complete=3)
    site.log("the first line\n")
    served = serve()
    browser.open(f"http://127.0.0.1:{served.port}/")
    assert browser.value(shows("4/20"))
    assert browser.value("document.title").startswith("15 % · running")
    browser.value("window.neverLoadedAgain = true; 1")
    site.progress(complete=9, phase="<b>final</b> fits")
    site.log("the first line\nthe second line\n")
    browser.until(shows("10/20"))
    browser.until(shows("the second line", "#log pre"))
    assert browser.value(shows("<b>final</b> fits", "#progress"))
    assert browser.value("document.querySelectorAll('#progress b').length") == 0
    assert browser.value("window.neverLoadedAgain")
    assert browser.complaints == []


def test_server_that_goes_is_told_and_found_again(browser, serve, site):
    site.start()
    served = serve()
    browser.open(f"http://127.0.0.1:{served.port}/")
    served.server.ask()
    browser.until("!document.querySelector('#connection').hidden")
    assert "do not answer" in browser.value("document.querySelector('#connection').textContent")
    assert browser.value(shows("running"))  # what was known stays
    serve(port=served.port)
    browser.until("document.querySelector('#connection').hidden")


def test_token_leaves_the_address_and_the_cookie_opens_every_page(browser, serve, site):
    site.start()
    served = serve(environ={TOKEN_VARIABLE: CHOSEN})
    browser.open(f"http://127.0.0.1:{served.port}/?token={CHOSEN}")
    browser.until(f"location.href === 'http://127.0.0.1:{served.port}/'")
    assert browser.value("document.cookie") == ""  # no script can read it
    for path, wanted in (("/runs", RUN), (f"/runs/{RUN}", "running"), ("/studies", "No studies")):
        browser.open(f"http://127.0.0.1:{served.port}{path}")
        browser.until(shows(wanted, "main"))
    assert browser.complaints == []


def test_script_of_a_report_cannot_look_around(browser, serve, site, diagnostics):
    site.start()
    script = (
        "fetch('/api/status').then(() => 'read', () => 'refused')"
        ".then(said => { document.body.textContent = said; })"
    )
    diagnostics()
    served = serve(page=lambda _: f"<body><script>{script}</script>")
    browser.open(f"http://127.0.0.1:{served.port}/reports/{RUN}")
    browser.until("document.body.textContent.startsWith('re')")
    assert browser.value("document.body.textContent") == "refused"
