"""
Log limit: how many refused requests are logged.
"""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.limits import Limits
from swapgate.server.log_limit import LogLimit
from tests.channel_rig import ChannelCase, TCPWire


class LogLimitTests(SynchronousTestCase):
    """
    By a clock that the test moves.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.limit = LogLimit(self.clock, self.said.append)

    def test_ten_a_second(self) -> None:
        """
        The rest is one line, when the second is over.
        """
        admitted = [self.limit.admits(403) for _ in range(30)]
        self.limit.admits(404)
        self.assertEqual(admitted, [True] * 10 + [False] * 20)
        self.clock.advance(0.9)
        self.assertEqual(self.said, [])
        self.clock.advance(0.2)
        said = "21 more refusals within a second: 20 of 403, 1 of 404"
        self.assertEqual(self.said, [said])
        self.assertTrue(self.limit.admits(403))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_few(self) -> None:
        """
        Each has its line, and there is nothing to be summed up.
        """
        for _ in range(100):
            self.assertTrue(self.limit.admits(404))
            self.clock.advance(0.11)
        self.assertEqual(self.said, [])

    def test_at_the_end(self) -> None:
        """
        What was counted is said before its second is over.
        """
        for _ in range(11):
            self.limit.admits(401)
        self.limit.sum_up()
        self.assertEqual(self.said, ["1 more refusals within a second: 1 of 401"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FloodTests(ChannelCase):
    """
    What a page can write into our log.
    """

    def test_refusals(self) -> None:
        """
        A thousand make eleven lines; an answer has its own all the same.
        """
        self.site.limits = Limits(max_connections_per_address=2000)
        with capturedLogs() as logged:
            for _ in range(1000):
                self.connect(TCPWire())
                self.say(b"GET / HTTP/1.1", b"Host: evil.example")
            self.connect(TCPWire())
            self.say(b"GET / HTTP/1.1", b"Host: x")
            self.resource.requests[-1].finish()
            self.clock.advance(1)
        lines = [formatEvent(event) for event in logged if "log_line" in event]
        self.assertEqual(len(lines), 12)
        self.assertTrue(lines[10].startswith("GET / 200 "))
        self.assertEqual(lines[11], "990 more refusals within a second: 990 of 403")
