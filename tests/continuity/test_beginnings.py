"""
How much two prompts have in common.
"""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.beginnings import (
    MOST_BYTES,
    NOTHING,
    Beginning,
    beginning_of,
)


def of(body: Any, client: str = "") -> Beginning:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    half = len(data) // 2
    return beginning_of([data[:half], bytearray(data[half:])], client)


def chat(*texts: str, **more: Any) -> Any:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": t} for i, t in enumerate(texts)]
    return {"model": "m", **more, "messages": messages}


class BeginningTests(SynchronousTestCase):
    """
    Of bodies in several APIs.
    """

    def test_goes_on(self) -> None:
        """
        A conversation that goes on has all but its last block in common with itself.
        """
        first = of(chat("x" * 1000))
        then = of(chat("x" * 1000, "An answer", "And then?"))
        self.assertEqual(first.common(then), len(first))
        self.assertEqual(then.common(first), len(first))
        self.assertTrue(first.goes_on_in(then))
        self.assertFalse(then.goes_on_in(of(chat("x" * 500))))

    def test_long(self) -> None:
        """
        After the first 4 KiB the blocks are of 1 KiB.
        """
        self.assertEqual(len(of(chat("x" * 3000))), 3008)
        long = of(chat("x" * 100_000))
        self.assertEqual(len(long), 4096 + 93 * 1024)
        other = of(chat("x" * 50_000 + "y" * 50_000))
        self.assertEqual(long.common(other), 4096 + 44 * 1024)
        self.assertEqual(len(long.digests), 8 * (64 + 93))

    def test_nothing_in_common(self) -> None:
        """
        Other words at the beginning, or other tools, leave nothing.
        """
        first = of(chat("x" * 1000))
        self.assertEqual(first.common(of(chat("y" * 1000))), 0)
        self.assertEqual(first.common(of(chat("x" * 1000, tools=[{"a": 1}] * 9))), 0)
        self.assertEqual(first.common(NOTHING), 0)

    def test_quick_look(self) -> None:
        """
        Whether there is anything in common is seen by the first digest.
        """
        first, other = of(chat("x" * 1000)), of(chat("y" * 1000))
        self.assertTrue(first.begins_like(of(chat("x" * 100)).digests))
        for digests in (other.digests, b""):
            self.assertFalse(first.begins_like(digests))
        self.assertFalse(NOTHING.begins_like(b""))

    def test_rest_of_the_body(self) -> None:
        """
        What is not in the prompt does not count, nor do the order of the fields and
        the pieces of the body.
        """
        first = chat("x" * 1000)
        other = {"stream": True, **dict(reversed(first.items())), "temperature": 0}
        self.assertEqual(of(first), of(other))

    def test_keys(self) -> None:
        """
        Clients with different API keys have nothing in common.
        """
        body = chat("x" * 1000)
        self.assertEqual(of(body, "anna"), of(body, "anna"))
        for other in ("", "bob"):
            self.assertEqual(of(body, "anna").common(of(body, other)), 0)

    def test_apis(self) -> None:
        """
        Completions, responses and messages have beginnings, too.
        """
        for body in (
            {"prompt": "x" * 100},
            {"input": "x" * 100},
            {"system": "x" * 100, "messages": []},
            {"instructions": "x" * 100},
        ):
            self.assertEqual(len(of(body)), 64)

    def test_short(self) -> None:
        """
        What fills no block has none, and goes on nowhere.
        """
        self.assertEqual(of(chat("Hi")), NOTHING)
        self.assertFalse(NOTHING.goes_on_in(of(chat("x" * 1000))))

    def test_too_long(self) -> None:
        """
        A body is read up to a bound.
        """
        self.assertGreater(len(of({"prompt": "x" * (MOST_BYTES - 20)})), 0)
        self.assertEqual(of({"prompt": "x" * MOST_BYTES}), NOTHING)

    def test_no_object(self) -> None:
        """
        What cannot be read has no beginning.
        """
        for body in (b"", b"[]", b"{", b'{"messages": '):
            self.assertEqual(of(body), NOTHING)

    def test_unreadable(self) -> None:
        """
        Nothing of the prompt stands in its digests.
        """
        self.assertNotIn(b"secret", of(chat("secret " * 100)).digests)
