"""
Token rate: counts at times, and the rate at others.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.token_rate import TokenRate


class RateTests(SynchronousTestCase):
    """
    One model's.
    """

    def test_none(self) -> None:
        self.assertEqual(TokenRate().per_s(100), 0)

    def test_steady(self) -> None:
        """
        From the first second on, and for as long as it goes on.
        """
        rate = TokenRate()
        for n in range(1, 1000):
            rate.add(1, 50 + n / 20)
            if n > 20:
                self.assertLess(abs(rate.per_s(50 + n / 20) - 20), 2)

    def test_two_at_once(self) -> None:
        """
        Their tokens are added.
        """
        rate = TokenRate()
        for n in range(100):
            rate.add(1, n / 10)
            rate.add(3, n / 10)
        self.assertLess(abs(rate.per_s(10) - 40), 4)

    def test_it_ends(self) -> None:
        """
        Soon nothing is left of it, and what begins later begins anew.
        """
        rate = TokenRate()
        for n in range(100):
            rate.add(1, n / 100)
        self.assertEqual(rate.per_s(10), 0)
        rate.add(1, 20)
        self.assertEqual(rate.per_s(20), 2)
        rate.add(1, 60)
        self.assertEqual(rate.per_s(60.1), 2)
