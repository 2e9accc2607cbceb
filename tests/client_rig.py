"""
Clients that people have, before a gateway in a process of its own.

Each does what its kind does: chat, stream, call a tool, embed. What a person sees of
it, words and errors, is compared with what should be seen; the gateway's log says how
many requests that took.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from attrs import define
from twisted.internet.threads import deferToThread

from tests.rig_twistd import TwistdCase

QUESTION = "What is the capital of France?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
# The tool that is offered, and what it is called with.
FUNCTION: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CALLED = ("weather", {"city": "Paris"})
# A pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAA"
    "BJRU5ErkJggg=="
)
VECTOR = [0.25, -0.5]
# What the stand-ins say, whole and streamed, and what of it before they die.
WHOLE, STREAMED, PARTIAL = "Paris.", "0 xx1 xx2 xx", "0 xx1 xx"

CONTEXT = "request (9000 tokens) exceeds the available context size (4096 tokens)"
LAST_WORDS = "no such file: bad.gguf"
# In a wish, as it stands in a configuration: a command is split as in a shell.
_REFUSED = {"code": 400, "message": CONTEXT, "type": "exceed_context_size_error"}
_SLOW = "--load-time 0.5"


def _wish(**wish: Any) -> str:
    return f"--wish '{json.dumps(wish)}'"


MODELS = {
    "a": _wish(calls_tools=True),
    # Its clients are told of their wait several times.
    "b": f"{_SLOW} {_wish(calls_tools=True)}",
    "bad": f"--load-time 9 --exit-after 0.5 --last-words '{LAST_WORDS}'",
    "dying": _wish(after=2, then="die"),
    "refusing": f"{_SLOW} {_wish(status=400, body={'error': _REFUSED})}",
    "blind": f"{_SLOW} {_wish(sees=False)}",
}


@define
class Seen:
    """
    What a person sees: what was said, and the error that came in its place or after it.
    """

    said: Any = ""
    error: str = ""


class Asker:
    """
    A client of one kind: what it does, and blocks while it does it.

    :cvar embeds: whether it can ask for embeddings.
    :cvar answers_calls: whether it runs a tool that is called, and asks again.
    :cvar always_streams: whether it asks for a stream even where its user does not.
    """

    embeds = True
    answers_calls = False
    always_streams = False

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def chat(self, model: str) -> str:
        raise NotImplementedError

    def stream(self, model: str) -> Iterator[str]:
        raise NotImplementedError

    def call(self, model: str) -> tuple[str, Any]:
        """
        Offer the tool: its name, and what it is called with.
        """
        raise NotImplementedError

    def embed(self, model: str) -> list[float]:
        raise NotImplementedError

    def see(self, what: str, model: str) -> Seen:
        """
        Do this, and catch what a program would catch.
        """
        seen = Seen()
        try:
            found = getattr(self, what)(model)
            if not isinstance(found, Iterator):
                return Seen(found)
            for text in found:
                seen.said += text
        except Exception as error:
            seen.error = str(error)
        return seen


class LangChainAsker(Asker):
    """
    LangChain's models are asked alike, whatever API they speak.
    """

    def model(self, model: str) -> Any:
        raise NotImplementedError

    def chat(self, model: str) -> str:
        return str(self.model(model).invoke(QUESTION).content)

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self.model(model).stream(QUESTION):
            yield chunk.content

    def call(self, model: str) -> tuple[str, Any]:
        bound = self.model(model).bind_tools([FUNCTION])
        [call] = bound.invoke(QUESTION).tool_calls
        return call["name"], call["args"]


class ClientTests(TwistdCase):
    """
    What one client must show. Import the module, not this: trial runs what it finds.
    """

    timeout = 120
    models = MODELS
    general = "keepalive = 50 ms\nlinger = 0"
    asker: type[Asker]
    #: How many requests it makes for a chat that is answered 409, not to be retried.
    tries = 1

    async def see(self, what: str, model: str) -> Seen:
        """
        What is seen of this, in a thread of its own.
        """
        asker = self.asker(self.port)
        seen: Seen = await deferToThread(asker.see, what, model)
        return seen

    async def requests(self) -> list[tuple[str, int, int]]:
        """
        Model, status and size of each request to a model until now, as it was logged.
        """
        for _ in range(2):
            # The log has this one after all that had ended before.
            await self.ask("/health", Connection="close")
        await self.gateway.until("GET /health 200", 2)
        found = re.findall(r"POST \S+ (\d+) (\d+) model='(\w+)'", self.gateway.log)
        return [(model, int(status), int(size)) for status, size, model in found]

    async def test_answers(self) -> None:
        """
        A whole answer, a stream, a call, a vector; then a swap, of whose wait it is
        told: it reads over that.
        """
        await self.start()
        whole = STREAMED if self.asker.always_streams else WHOLE
        self.assertEqual(await self.see("chat", "a"), Seen(whole))
        self.assertEqual(await self.see("stream", "a"), Seen(STREAMED))
        self.assertEqual(await self.see("call", "a"), Seen(CALLED))
        if self.asker.embeds:
            self.assertEqual(await self.see("embed", "a"), Seen(VECTOR))
        self.assertEqual(await self.see("stream", "b"), Seen(STREAMED))
        done = await self.requests()
        count = 3 + self.asker.embeds + self.asker.answers_calls
        self.assertEqual([model for model, _, _ in done], ["a"] * count + ["b"])
        self.assertEqual({status for _, status, _ in done}, {200})
        # At least one comment, or line without content, before the same answer.
        self.assertGreater(done[-1][2] - done[1][2], 25)

    async def test_a_failed_load(self) -> None:
        """
        After comments, and before; the words of the daemon are seen.
        """
        await self.start()
        seen = await self.see("stream", "bad")
        self.assertEqual(seen.said, "")
        self.assertIn(LAST_WORDS, seen.error)
        seen = await self.see("chat", "bad")
        self.assertIn(LAST_WORDS, seen.error)
        first, *then = [status for _, status, _ in await self.requests()]
        self.assertEqual((first, len(then)), (200, self.tries))
        # A stream's, unless it comes within the back-off, begins with comments as well.
        self.assertLessEqual(
            {*then}, {409, 200} if self.asker.always_streams else {409}
        )

    async def test_a_daemon_dies(self) -> None:
        """
        In the middle of its answer: what it said is seen, and that it is not all.
        """
        await self.start()
        seen = await self.see("stream", "dying")
        self.assertEqual(seen.said, PARTIAL)
        self.assertIn("ended in the middle of its answer", seen.error)
        self.assertEqual(len(await self.requests()), 1)

    async def test_a_refusal(self) -> None:
        """
        The daemon's own, after comments and before, in its own words.
        """
        await self.start()
        seen = await self.see("stream", "refusing")
        self.assertEqual(seen.said, "")
        self.assertIn(CONTEXT, seen.error)
        seen = await self.see("chat", "refusing")
        self.assertIn(CONTEXT, seen.error)
        statuses = [status for _, status, _ in await self.requests()]
        self.assertEqual(statuses, [200, 400])

    async def check_image(self) -> None:
        """
        A model without eyes says so; that is seen, too, and costs one request.
        """
        await self.start()
        seen = await self.see("look", "blind")
        self.assertEqual(seen.said, "")
        self.assertIn("image input is not supported", seen.error)
        self.assertEqual(len(await self.requests()), 1)
