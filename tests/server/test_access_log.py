"""
Access log: the fields of one request.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.server.access_log import AccessLogEntry, shown


class ShownTests(SynchronousTestCase):
    """
    What a client has sent, in a log line.
    """

    def test_a_long_path(self) -> None:
        """
        Three hundred characters of it, however it is written.
        """
        self.assertEqual(shown(b"/" + b"x" * 299), "/" + "x" * 299)
        self.assertEqual(shown(b"/" + b"x" * 300), "/" + "x" * 299 + "...")
        for raw in (b"/" + b"\xff" * 10_000, b"/" + b"\xff" * 299):
            self.assertEqual(len(shown(raw)), 303)


class AccessLogEntryTests(SynchronousTestCase):
    """
    Seconds are those of the reactor's clock.
    """

    def test_all(self) -> None:
        """
        Where the first daemon was dead, both waits count.
        """
        log_entry = AccessLogEntry(model="a", key="mine", error="upstream_failed")
        log_entry.waited(queue_s=1.0, load_s=10.0)
        log_entry.waited(queue_s=2.0004, load_s=10.0)
        log_entry.leased_s = 32.0
        self.assertEqual(
            log_entry.facts(40.0),
            {
                "model": "a",
                "queue_s": 3.0,
                "load_s": 20.0,
                "stream_s": 8.0,
                "key": "mine",
                "error": "upstream_failed",
            },
        )

    def test_given_up(self) -> None:
        """
        Without a lease there is no duration of a stream.
        """
        log_entry = AccessLogEntry(model="a", error="client_gone")
        log_entry.waited(queue_s=1.0, load_s=2.0)
        self.assertEqual(
            log_entry.facts(40.0),
            {"model": "a", "queue_s": 1.0, "load_s": 2.0, "error": "client_gone"},
        )

    def test_nothing_known(self) -> None:
        """
        Nothing is said.
        """
        self.assertEqual(AccessLogEntry().facts(1.0), {})

    def test_shown(self) -> None:
        """
        Nothing that could end a line or colour it.
        """
        self.assertEqual(shown(b"/a~ \r\n\x1b\x7f\xe4"), r"/a~\x20\x0d\x0a\x1b\x7f\xe4")
