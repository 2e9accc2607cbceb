"""
Auth delay: how long a 401 is held back.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.server.auth_delay import AuthDelay


class AuthDelayTests(SynchronousTestCase):
    """
    By the clock that is handed in.
    """

    def setUp(self) -> None:
        self.auth_delay = AuthDelay()

    def test_it_grows(self) -> None:
        """
        To a second, and no longer.
        """
        delays = [self.auth_delay.delay_s("192.0.2.1", 5.0) for _ in range(9)]
        self.assertEqual(delays, [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0])

    def test_it_is_forgotten(self) -> None:
        """
        A step in ten seconds, all in a minute, however often it was tried.
        """
        for _ in range(50):
            self.auth_delay.delay_s("192.0.2.1", 0.0)
        self.assertEqual(self.auth_delay.delay_s("192.0.2.1", 20.0), 0.8)
        self.assertEqual(self.auth_delay.delay_s("192.0.2.1", 90.0), 0.05)

    def test_each_for_himself(self) -> None:
        """
        Addresses; of IPv6 the networks, for in one there are addresses without end.
        """
        for first, other, same in (
            ("192.0.2.1", "192.0.2.2", False),
            ("192.0.2.1", "::ffff:192.0.2.1", True),
            ("2001:db8::1", "2001:db8::ffff:1", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("fe80::1%eth0", "fe80::2", True),
            ("127.0.0.1", "", False),
            ("", "", True),
        ):
            self.setUp()
            self.auth_delay.delay_s(first, 0.0)
            delay_s = self.auth_delay.delay_s(other, 0.0)
            self.assertEqual(delay_s, 0.1 if same else 0.05, (first, other))

    def test_bounded(self) -> None:
        """
        However many there are, few are remembered, and the last ones.
        """
        for n in range(10_000):
            self.auth_delay.delay_s(f"10.0.{n >> 8}.{n & 255}", 0.0)
        self.assertEqual(len(self.auth_delay), 4096)
        self.assertEqual(self.auth_delay.delay_s("10.0.39.15", 0.0), 0.1)
        self.assertEqual(self.auth_delay.delay_s("10.0.0.0", 0.0), 0.05)
