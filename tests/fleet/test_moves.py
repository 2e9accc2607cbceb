"""
What one move is, compared with another.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.moves import Admit, Evict, Start


class MoveTests(SynchronousTestCase):
    """
    Moves are values.
    """

    def test_equal(self) -> None:
        """
        By kind and model; for whom a model is evicted is only told.
        """
        self.assertEqual(Evict("a", "b"), Evict("a"))
        self.assertNotEqual(Evict("a"), Evict("b"))
        self.assertNotEqual(Admit("a"), Start("a"))
