"""
Header rules, in both directions.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.headers import TO_CLIENT, headers_to_daemon
from swapgate.server.request_parser import RequestHead


class HeaderTests(SynchronousTestCase):
    """
    What passes and what does not; test_relay shows the same of whole answers.
    """

    def test_to_the_daemon(self) -> None:
        """
        Headers of one hop, a browser's and keys stay here; the rest passes unaltered.
        """
        sent = [
            (b"X-Custom", b"1"),
            (b"X-Custom", b"2"),
            (b"User-Agent", b"me"),
            (b"Connection", b"close, X-Hop"),
            (b"connection", b"x-other"),
            (b"X-Hop", b"1"),
            (b"X-Other", b"1"),
            (b"Authorization", b"Bearer key"),
            (b"Cookie", b"a=b"),
            (b"Sec-Fetch-Site", b"none"),
            (b"Access-Control-Request-Method", b"POST"),
        ]
        head = RequestHead(b"POST", b"/", b"HTTP/1.1", sent)
        passed = headers_to_daemon(head)
        self.assertEqual(
            passed, [(b"X-Custom", b"1"), (b"X-Custom", b"2"), (b"User-Agent", b"me")]
        )

    def test_to_the_client(self) -> None:
        """
        Nothing that steers a browser or frames a message is in the allow-list.
        """
        listed = {name.lower() for name in TO_CLIENT}
        self.assertTrue(
            listed.isdisjoint(
                {b"content-length", b"transfer-encoding", b"connection", b"set-cookie"}
            )
        )
