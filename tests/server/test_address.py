"""
Addresses as sockets show them.
"""

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from swapgate.server.address import read_address


class ReadAddressTests(SynchronousTestCase):
    """
    By value.
    """

    def test_read(self) -> None:
        """
        Without a zone, and IPv4 where a socket shows it in an IPv6 address.
        """
        for text, address in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
        ):
            self.assertEqual(read_address(text), ip_address(address))
