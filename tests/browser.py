"""A headless Chromium, spoken to over its DevTools protocol: what a page says on the console, and what is in it."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 20  # seconds
# Waits for every picture, those that are loaded only when scrolled to included.
IMAGES = """
Promise.all([...document.images].map(async image => {
    image.loading = "eager";
    if (!image.complete) await new Promise(end => { image.onload = end; image.onerror = end; });
    return [image.getAttribute("src").slice(0, 120), image.naturalWidth, image.getAttribute("alt") || ""];
}))
"""


def chromium() -> str | None:
    """Path of a Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Visit:
    """What a browser found on a page.

    Attributes
    ----------
    problems : list of str
        Errors and warnings on the console, exceptions, and what could not be loaded.
    images : list of (address, width, alternative text)
        Width is 0 for a picture that cannot be shown.
    """

    problems: list[str] = field(default_factory=list)
    images: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Addresses of pictures that cannot be shown."""
        return [address for address, width, _ in self.images if width == 0]


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, binary: str, profile: Path) -> None:
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        quiet = [
            "--disable-background-networking",
            "--disable-extensions",
            "--hide-scrollbars",
            "--mute-audio",
        ]
        self._process = subprocess.Popen(
            [
                binary,
                *flags,
                *quiet,
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._loop = asyncio.new_event_loop()
        self._numbers, self._visit, self._loaded = itertools.count(1), Visit(), False
        try:
            self._socket = self._wait_for(_connected(self._address(profile / "DevToolsActivePort")))
            for domain in ("Page", "Runtime", "Log"):
                self.command(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _address(self, file: Path) -> str:
        """Return the address of the tab, which the browser opens soon after it writes its port into a file."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            if file.exists() and (lines := file.read_text().split()):
                with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as reply:
                    tabs = [tab for tab in json.load(reply) if tab["type"] == "page"]
                if tabs:
                    return tabs[0]["webSocketDebuggerUrl"]
            time.sleep(0.05)
        raise RuntimeError(f"the browser did not open within {PATIENCE} seconds")

    def _wait_for(self, what: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(what, PATIENCE))

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before it are noted."""
        number = next(self._numbers)
        return self._wait_for(
            self._answer(number, json.dumps({"id": number, "method": method, "params": params}))
        )

    async def _answer(self, number: int, message: str) -> dict[str, Any]:
        await self._socket.write_message(message)
        while True:
            reply = await self._next()
            if reply.get("id") == number:
                if "error" in reply:
                    raise RuntimeError(f"{message}: {reply['error']['message']}")
                return reply["result"]

    async def _until_loaded(self) -> None:
        while not self._loaded:
            await self._next()

    async def _next(self) -> dict[str, Any]:
        text = await self._socket.read_message()
        if text is None:
            raise RuntimeError("the browser has closed the tab")
        event = json.loads(text)
        params = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                said = " ".join(str(a.get("value", a.get("description", ""))) for a in params["args"])
                self._visit.problems.append(f"console.{params['type']}: {said}")
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                said = details.get("exception", {}).get("description", details["text"])
                self._visit.problems.append(f"exception: {said}")
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                entry = params["entry"]
                self._visit.problems.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
        return event

    def evaluate(self, script: str) -> Any:
        """Return the value of a script on the page; a promise is waited for."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        reply = self.command("Runtime.evaluate", **asked)
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"].get("exception", {}).get("description", script))
        return reply["result"].get("value")

    def visit(self, url: str, dark: bool = False, width: int = 1300) -> Visit:
        """Open a page in a light or dark theme, and wait for it and all its pictures."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **screen)
        # A first visit: nothing is known of what the reader has chosen before.
        self.command("Storage.clearDataForOrigin", origin=url[: url.index("/", 8)], storageTypes="all")
        self._visit, self._loaded = Visit(), False
        failed = self.command("Page.navigate", url=url).get("errorText")
        if failed:
            raise RuntimeError(f"{url}: {failed}")
        self._wait_for(self._until_loaded())
        self._visit.images = [tuple(image) for image in self.evaluate(IMAGES)]
        # What scripts do right after the page has loaded is part of it.
        self.evaluate("new Promise(end => setTimeout(end, 100))")
        return self._visit

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._loop.close()


async def _connected(address: str) -> Any:
    return await websocket_connect(address)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def serve(folder: Path) -> tuple[ThreadingHTTPServer, str]:
    """Serve a folder; return the server, which is to be shut down, and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"
