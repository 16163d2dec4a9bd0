"""The interface in a browser: who may speak to it, what is started for a tab, and that a closed tab ends its process and no run."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web

from advisor.cli.main import run
from advisor.cli.serving import command_line, free_port, is_loopback, server
from advisor.core.errors import InputError
from tests.fakes.session import FakeSession, door

ROOT = Path(__file__).parents[2]
DEMO = shlex.join([sys.executable, "-m", "tests.tui.demo"])


@asynccontextmanager
async def served(what: str) -> AsyncIterator[str]:
    """The address of the interface on recorded runs, served."""
    os.environ["PYTHONPATH"] = str(ROOT)
    place = free_port("127.0.0.1", 0)
    runner = web.AppRunner(await server(f"{DEMO} {what}", "127.0.0.1", place)._make_app(), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", place).start()
    try:
        yield f"127.0.0.1:{place}"
    finally:
        await runner.cleanup()


async def shows(socket: aiohttp.ClientWebSocketResponse, *words: str) -> str:
    """What the socket has sent once every word was among it, escape sequences taken out."""
    seen = b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        message = await socket.receive(timeout=60)
        if message.type is not aiohttp.WSMsgType.BINARY:
            break
        seen += message.data
        text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", seen).decode(errors="replace")
        if all(word in text for word in words):
            return text
    pytest.fail(f"{words} never came: {seen[-500:]!r}")


def children(word: str) -> list[int]:
    """The processes below this one whose command line holds `word`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if word in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


async def test_a_tab_is_the_interface_takes_keys_and_ends_with_the_tab() -> None:
    async with served("data") as place, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"http://{place}/ws?width=100&height=30", origin=f"http://{place}") as tab:
            await shows(tab, "Questions", "Plan so far", "~48 trials")
            await tab.send_json(["stdin", "\r"])
            await shows(tab, "Why: Target")
            assert children("tests.tui.demo")
        for _ in range(400):
            if not children("tests.tui.demo"):
                break
            await asyncio.sleep(0.05)
        assert not children("tests.tui.demo")


async def test_the_page_asks_no_other_site_for_anything() -> None:
    async with served("start") as place, aiohttp.ClientSession() as http:
        page = await (await http.get(f"http://{place}/")).text()
    linked = re.findall(r"(?:href|src)=\"(https?://[^\"]+)\"", page)
    assert linked
    assert all(link.startswith(f"http://{place}/") for link in linked)
    assert f"ws://{place}/ws" in page


@pytest.mark.parametrize("headers", [{"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}], ids=["origin", "host"])
async def test_another_sites_page_is_refused(headers: dict[str, str]) -> None:
    async with served("start") as place, aiohttp.ClientSession() as http:
        for path in ("/", "/ws"):
            assert (await http.get(f"http://{place}{path}", headers=headers)).status == 403


def test_the_command_of_a_tab_survives_the_shell() -> None:
    words = ("it's; $(a) `b`.csv", "--target", "two words")
    assert tuple(shlex.split(command_line(words))[3:]) == words


def test_only_addresses_of_this_machine_are_quiet() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "192.168.1.7", "lab")] == [True] * 3 + [False] * 3


def test_a_port_that_is_taken_is_told_with_a_cure() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen there") as refusal:
            free_port("127.0.0.1", taken.getsockname()[1])
    assert "--port" in refusal.value.cure


def test_an_open_address_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from advisor.cli import serving

    class Ended:
        """A server that ends at once: only what is said before it matters here."""

        def serve(self) -> None:
            """Nothing."""

    monkeypatch.setattr(serving, "server", lambda command, host, port: Ended())
    for host, is_warned in (("0.0.0.0", True), ("127.0.0.1", False)):
        way = door(FakeSession(), is_terminal=True)
        assert run(["serve", "sklearn:iris", "--host", host, "--port", "0"], way) == 0
        assert ("there is no login" in way.err.getvalue()) is is_warned  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [["nowhere.csv"], ["sklearn:iris", "--budgt", "60s"], ["attach", "no-run"], ["sklearn:iris", "--plain"]])
def test_a_mistake_is_told_before_anything_is_served(words: list[str]) -> None:
    way = door(FakeSession(), is_terminal=True)
    assert run(["serve", *words, "--port", "0"], way) == 2
    assert way.err.getvalue().startswith("error: ")  # type: ignore[attr-defined]


def test_a_tab_that_is_loaded_again_comes_back_to_the_run_on_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    walk = FakeSession()
    alive = walk.list_runs()[0].model_copy(update={"is_alive": True, "status": "running", "source": "sklearn:iris"})
    monkeypatch.setattr(FakeSession, "list_runs", lambda self, runs="runs": (alive,))
    run(["sklearn:iris"], door(walk))
    assert walk.called("interface")[0][1]["attach"] == Path("runs/customers-1114")
    run(["sklearn:wine"], door(walk))
    assert walk.called("interface")[1][1]["attach"] is None


@pytest.mark.slow
async def test_the_walk_in_a_browser(tmp_path: Path) -> None:
    from tests.tui.browser import CHROMIUM, opened

    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    runs = tmp_path / "runs"
    command = shlex.join([sys.executable, "-m", "advisor", "sklearn:iris", "--budget", "30s", "--runs", str(runs)])
    place = free_port("127.0.0.1", 0)
    runner = web.AppRunner(await server(command, "127.0.0.1", place)._make_app(), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", place).start()
    try:
        async with opened(f"http://127.0.0.1:{place}/", tmp_path / "profile") as tab:
            for _ in range(600):
                if await tab.evaluate("document.body.className.includes('-first-byte') && document.activeElement.tagName == 'TEXTAREA'"):
                    break
                await asyncio.sleep(0.1)
            await tab.press("Enter")
            await tab.press("Enter")
            for _ in range(600):
                if list(runs.glob("*/journal.db")):
                    break
                await asyncio.sleep(0.1)
            assert list(runs.glob("*/journal.db")), "two presses of Enter start a run"
        for _ in range(900):
            if list(runs.glob("*/result.json")):
                break
            await asyncio.sleep(0.1)
        assert list(runs.glob("*/result.json")), "the run has gone on to its end without the tab"
    finally:
        await runner.cleanup()
