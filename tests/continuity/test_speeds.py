"""
Whether saving and restoring pay.
"""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.speeds import Speeds


class SpeedsTests(SynchronousTestCase):
    """
    By what was measured.
    """

    def measured(self) -> Speeds:
        """
        100 tokens a second; 10 kB a token, at 1 MB a second either way.
        """
        speeds = Speeds()
        speeds.note_reading(100.0)
        speeds.note_saving(100, 1_000_000, 1.0)
        speeds.note_restoring(1_000_000, 1.0)
        return speeds

    def test_unknown(self) -> None:
        """
        What is not known is tried, unless there is nothing in it.
        """
        speeds = Speeds()
        self.assertTrue(speeds.restore_pays(1, 10**9))
        self.assertFalse(speeds.restore_pays(0, 10**9))
        self.assertTrue(speeds.save_pays(1))
        self.assertFalse(speeds.save_pays(0))
        self.assertEqual(speeds.size_of(100), 0)
        speeds.note_reading(None)
        self.assertEqual(speeds.reading, [])
        self.assertEqual(speeds.reading_s(500), 1.0)
        # Half of it does not tell either.
        speeds.note_reading(1.0)
        self.assertTrue(speeds.restore_pays(1, 10**9))
        self.assertTrue(speeds.save_pays(1))

    def test_restoring(self) -> None:
        """
        It must be twice as fast as reading.
        """
        speeds = self.measured()
        self.assertTrue(speeds.restore_pays(201, 1_000_000))
        self.assertFalse(speeds.restore_pays(200, 1_000_000))

    def test_saving(self) -> None:
        """
        Before it is overwritten, ten times.
        """
        speeds = self.measured()
        self.assertEqual(speeds.size_of(50), 500_000)
        self.assertFalse(speeds.save_pays(1000))
        for _ in range(5):
            speeds.note_saving(100, 1_000_000, 0.01)
        self.assertTrue(speeds.save_pays(1000))

    def test_last_ones(self) -> None:
        """
        The last five measurements count, and of reading their median.
        """
        speeds = self.measured()
        for speed in (1.0, 2.0, 3.0, 4.0, 500.0):
            speeds.note_reading(speed)
            speeds.note_restoring(1, 1.0)
        self.assertEqual(speeds.reading_s(3), 1.0)
        self.assertEqual(len(speeds.restoring), 5)

    def test_kept(self) -> None:
        """
        They can be written down and read.
        """
        speeds = self.measured()
        written = msgspec.json.encode(speeds)
        self.assertEqual(msgspec.json.decode(written, type=Speeds), speeds)
