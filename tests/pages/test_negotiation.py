"""
Negotiation: headers of requests, and what they take.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.pages.negotiation import has_it, takes_gzip, takes_html

CHROME = (
    b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    b"image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)


class NegotiationTests(SynchronousTestCase):
    """
    Plain values.
    """

    def test_html(self) -> None:
        for accept, expected in {
            CHROME: True,
            b"text/html": True,
            b"TEXT/HTML;level=1": True,
            b"application/json, text/html;q=0.1": True,
            b"text/html;q=0": False,
            b"text/html;q=x": False,
            b"text/htmlx": False,
            b"*/*": False,
            b"text/*": False,
            b"": False,
            None: False,
        }.items():
            with self.subTest(accept):
                self.assertEqual(takes_html(accept), expected)

    def test_gzip(self) -> None:
        for accept, expected in {
            b"gzip, deflate, br, zstd": True,
            b"br;q=1.0, GZIP ; q=0.5": True,
            b"gzip;q=0": False,
            b"gzip;q=0.000": False,
            b"identity": False,
            b"*": False,
            None: False,
        }.items():
            with self.subTest(accept):
                self.assertEqual(takes_gzip(accept), expected)

    def test_copies(self) -> None:
        for sent, expected in {
            b'"a"': True,
            b'W/"a"': True,
            b'"b", "a"': True,
            b"*": True,
            b'"b"': False,
            b"a": False,
            b"": False,
            None: False,
        }.items():
            with self.subTest(sent):
                self.assertEqual(has_it(sent, b'"a"'), expected)
