"""
Firefox as its makers and Debian ship it, driven by WebDriver BiDi.

Playwright drives a Firefox of its own making only. This speaks what a test of the chat
needs of https://w3c.github.io/webdriver-bidi/, and no more.
"""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.browser.rig import PATIENCE_S

ENTER, ESCAPE, RIGHT = "\ue007", "\ue00c", "\ue014"
_LISTENS = re.compile(r"listening on (ws://\S+)")


class Firefox:
    """
    A browser without a window, with one tab.

    :ivar complaints: what its console said that is no mere message.
    """

    def __init__(self, path: str, folder: Path) -> None:
        profile = folder / "profile"
        profile.mkdir()
        argv = [path, "--headless", "--no-remote", "--profile", str(profile)]
        self._process = subprocess.Popen(
            [*argv, "--remote-debugging-port", "0"],
            env={"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        found = (_LISTENS.search(line) for line in self._process.stderr)
        address = next((it[1] for it in found if it), None)
        assert address is not None, "Firefox has ended"
        self._socket: ClientConnection = connect(f"{address}/session", max_size=None)
        self._count = 0
        self.complaints: list[str] = []
        self._call("session.new", capabilities={})
        self._call("session.subscribe", events=["log.entryAdded"])
        [tab] = self._call("browsingContext.getTree")["contexts"]
        self._tab = tab["context"]

    def _call(self, method: str, **params: Any) -> Any:
        self._count += 1
        call = {"id": self._count, "method": method, "params": params}
        self._socket.send(json.dumps(call))
        while True:
            said = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if said.get("id") == self._count:
                assert said["type"] == "success", said
                return said["result"]
            if said.get("method") == "log.entryAdded":
                entry = said["params"]
                if entry["level"] in ("warn", "error"):
                    self.complaints.append(str(entry["text"]))

    def open(self, url: str) -> None:
        self._call(
            "browsingContext.navigate", context=self._tab, url=url, wait="complete"
        )

    def reload(self) -> None:
        self._call("browsingContext.reload", context=self._tab, wait="complete")

    def value(self, expression: str) -> Any:
        """
        What an expression is in the page, as JSON has it.
        """
        found = self._call(
            "script.evaluate",
            expression=f"JSON.stringify({expression}) ?? 'null'",
            target={"context": self._tab},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])

    def until(self, expression: str) -> Any:
        """
        Wait until it is something.
        """
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            if value := self.value(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression} does not come")

    def type(self, text: str) -> None:
        """
        Press and release a key for each character.
        """
        kinds = ("keyDown", "keyUp")
        keys = [{"type": kind, "value": key} for key in text for kind in kinds]
        source = {"type": "key", "id": "keyboard", "actions": keys}
        self._call("input.performActions", context=self._tab, actions=[source])

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        assert self._process.stderr is not None
        self._process.stderr.close()
