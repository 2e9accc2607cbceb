"""
Malformed and hostile requests, byte for byte, over a real socket.
"""

import json
from typing import Any
from unicodedata import category

from twisted.logger import LogEvent, capturedLogs, formatEvent

from tests.gate import ROOT
from tests.rig import Answer, Client, RigCase

REQUESTS = json.loads((ROOT / "tests" / "badinput.json").read_text("utf-8"))
# Of the queries, header values and bodies in the list; none may be logged.
PRIVATE = ("yyyy", "xxxx", "localhost.evil", "messages")
AFTERWARDS = (
    "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
)


class BadInputTests(RigCase):
    """
    Each is answered once, loads nothing, and leaves no content of its own in the log.
    """

    async def answered(self, entry: dict[str, Any]) -> tuple[list[Answer], bool]:
        """
        All the answers to a request, and whether the connection was closed after it.

        Where it was not, one more request is sent: what a body hid would answer it.
        """
        client = await self.connect()
        raw = entry["raw"].replace("11430", str(self.port))
        client.transport.write(raw.encode("latin-1"))
        answers = [await final(client, may_continue="100 then" in entry["expect"])]
        closed = answers[0].headers.get("connection") == "close"
        if not closed:
            client.transport.write(AFTERWARDS.format(port=self.port).encode())
            answers.append(await client.answer())
        left = await client.closed()
        self.assertEqual(left, b"")
        return answers, closed

    def wrong(
        self, entry: dict[str, Any], answers: list[Answer], closed: bool
    ) -> list[str]:
        """
        What differs from the expected.
        """
        first, *others = answers
        found = []
        if first.status not in entry["expect_status"]:
            found.append(f"status {first.status}")
        if first.status >= 400:
            first.body.decode("utf-8")
            self.assertEqual(first.headers["content-type"], "application/json")
            self.assertIn("message", first.error)
        if "close" in entry["expect"] and not closed:
            found.append("not closed")
        if [other.body for other in others] != [b'{"status": "ok"}'] * (not closed):
            found.append("more than one answer")
        if "access-control-allow-origin" in first.headers:
            found.append("readable by others")
        return found

    async def test_bad_input(self) -> None:
        """
        The whole list.
        """
        self.general = "header_timeout = 200 ms"
        await self.start()
        wrong = {}
        with capturedLogs() as logged:
            for entry in REQUESTS:
                if found := self.wrong(entry, *await self.answered(entry)):
                    wrong[entry["name"]] = found
        self.assertEqual(wrong, {})
        self.assertEqual(self.told(), [])
        for event in logged:
            self.assertEqual(improper(event), None, formatEvent(event))


async def final(client: Client, *, may_continue: bool) -> Answer:
    """
    The first answer that is more than a 100 Continue.
    """
    heard = await client.until(b"\r\n\r\n")
    if may_continue and heard.startswith(b"HTTP/1.1 100 "):
        await client.answer(head_only=True)
    return await client.answer()


def improper(event: LogEvent) -> str | None:
    """
    What may not be in a log.
    """
    text = formatEvent(event)
    if "log_failure" in event or "Traceback" in text:
        return "a failure"
    if any(category(character) == "Cc" for character in text):
        return "a control character"
    return next((word for word in PRIVATE if word in text), None)
