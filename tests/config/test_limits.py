"""
Limits on clients: their defaults, and an option for each.
"""

from attrs import fields_dict
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Expander
from swapgate.config.ini import Section
from swapgate.config.limits import Limits
from swapgate.config.options import GENERAL, OPTIONS, fields


class LimitsTests(SynchronousTestCase):
    """
    The limits, and the options that set them.
    """

    def test_connections_from_one_address(self) -> None:
        """
        All of them on this machine, 256 from another; or as configured, from anywhere.
        """
        for limits, here, elsewhere in (
            (Limits(), 8192, 256),
            (Limits(max_connections=9), 9, 256),
            (Limits(max_connections_per_address=7), 7, 7),
        ):
            self.assertEqual(limits.connections_from(loopback=True), here)
            self.assertEqual(limits.connections_from(loopback=False), elsewhere)

    def test_the_time_for_a_body(self) -> None:
        """
        More for each byte that has come, up to five minutes, or to what is configured.
        """
        for limits, received, allowed_s in (
            (Limits(), 0, 30.0),
            (Limits(body_rate=1000), 5000, 35.0),
            (Limits(), 60 * 2**20, 300.0),
            (Limits(body_timeout_s=600.0), 60 * 2**20, 600.0),
            (Limits(body_timeout_s=299.0, body_rate=1), 10, 300.0),
        ):
            self.assertEqual(limits.body_allowed_s(received), allowed_s)

    def test_an_option_for_each(self) -> None:
        """
        No limit is out of the user's reach.
        """
        texts = {"size": "1 MB", "duration": "1 s", "number": "1", "rate": "1 MB/s"}
        options = {
            name: texts[option.type.said]
            for name, option in OPTIONS.items()
            if option.type.said in texts
        }
        section = Section(path="/c", name="swapgate", options=options)
        expander = Expander(folder="/", python="", environ={})
        found = fields(section, Limits, expander, GENERAL)
        self.assertEqual(list(found), list(fields_dict(Limits)))
