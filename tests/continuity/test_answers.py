"""
What an engine says at the end of its answer.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.answers import Counts, counts_of, helped

TIMINGS = (
    b'{"cache_n":1525,"prompt_n":100,"prompt_ms":500.0,"prompt_per_token_ms":2.1,'
    b'"predicted_n":16,"predicted_ms":900.1}'
)


class CountsTests(SynchronousTestCase):
    """
    Of the ends of answers in several APIs.
    """

    def test_timings(self) -> None:
        """
        What llama-server says, in an answer and at the end of a stream.
        """
        expected = Counts(1625, 1525, 16, 200.0)
        usage = b'{"usage":{"prompt_tokens":1,"completion_tokens":2},"timings":'
        for tail in (
            usage + TIMINGS + b"}",
            b'data: {"x":1}\n\ndata: {"timings":' + TIMINGS + b"}\n\ndata: [DONE]\n\n",
        ):
            self.assertEqual(counts_of(tail), expected)
        self.assertEqual(expected.in_slot, 1640)

    def test_last(self) -> None:
        """
        With timings in each chunk the last ones count.
        """
        first = TIMINGS.replace(b"1525", b"3")
        self.assertEqual(counts_of(first + TIMINGS).cached, 1525)

    def test_no_measurement(self) -> None:
        """
        A few tokens, or none, say nothing of the speed.
        """
        for old, new in ((b":100,", b":63,"), (b"500.0", b"0.0"), (b"500.0", b".")):
            self.assertIsNone(counts_of(TIMINGS.replace(old, new)).speed)
        self.assertIsNone(counts_of(TIMINGS.replace(b"predicted_n", b"x")).output)

    def test_usage(self) -> None:
        """
        Without timings, what OpenAI's and Anthropic's APIs say.
        """
        for usage in (
            {
                "prompt_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 7},
                "completion_tokens": 3,
            },
            {"input_tokens": 10, "cache_read_input_tokens": 7, "output_tokens": 3},
        ):
            counts = counts_of(json.dumps({"usage": usage}).encode())
            self.assertEqual(counts, Counts(10, 7, 3))
            self.assertEqual(counts.in_slot, 12)

    def test_nothing(self) -> None:
        """
        An answer may say nothing of it, or be anything.
        """
        for tail in (b"", b"{}", b'{"prompt_n":5}', b'{"cache_n":"x"}'):
            self.assertEqual(counts_of(tail), Counts())
        self.assertIsNone(Counts().in_slot)
        self.assertEqual(Counts(prompt=5, output=0).in_slot, 5)

    def test_text(self) -> None:
        """
        A model that writes such numbers itself is not believed.
        """
        said = json.dumps({"content": '"cache_n": 9, "prompt_n": 9'}).encode()
        self.assertEqual(counts_of(said), Counts())


class HelpedTests(SynchronousTestCase):
    """
    Whether what was restored was of use.
    """

    def test_all(self) -> None:
        """
        It was if half of it had not to be read again; an answer need not say.
        """
        self.assertIs(helped(Counts(cached=500), 1000), True)
        self.assertIs(helped(Counts(cached=499), 1000), False)
        self.assertIsNone(helped(Counts(prompt=10), 1000))
