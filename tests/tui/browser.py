"""Chromium without a window, driven over its own protocol: opens a page, types, and takes pictures."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
"""The browser of this machine; None where there is none."""
KEYS = {"Enter": ("\r", 13), "Escape": ("", 27), "Tab": ("\t", 9), "ArrowDown": ("", 40)}
"""Keys that are no character: what they type, and their code."""


class Tab:
    """One page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._serial = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to `method`."""
        self._serial += 1
        await self._socket.send_json({"id": self._serial, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=30)
            if answer.get("id") == self._serial:
                return dict(answer.get("result", {}))

    async def press(self, key: str) -> None:
        """Presses one key by its name in the browser, or types one character."""
        text, code = KEYS.get(key, (key, ord(key.upper()[0])))
        details = {"key": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        await self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **details)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def evaluate(self, script: str) -> Any:
        """What `script` gives in the page."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result.get("result", {}).get("value")

    async def picture(self, path: Path) -> None:
        """Writes what the page shows as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def opened(url: str, folder: Path, *, width: int = 1280, height: int = 800) -> AsyncIterator[Tab]:
    """A tab on `url`; `folder` holds the browser's profile."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        f"--window-size={width},{height}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        marker = folder / "DevToolsActivePort"
        for _ in range(600):
            if marker.exists() and "\n" in marker.read_text():
                break
            await asyncio.sleep(0.05)
        port = marker.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as http:
            pages = await (await http.get(f"http://127.0.0.1:{port}/json")).json()
            target = next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"]
            async with http.ws_connect(target, max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.call("Page.enable")
                await tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
                await tab.call("Page.navigate", url=url)
                yield tab
    finally:
        process.terminate()
        await process.wait()
