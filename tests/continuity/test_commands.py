"""
What is known of an engine by its command.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.commands import EngineCommand, engine_command


def of(text: str) -> EngineCommand:
    return engine_command(text.split())


class CommandTests(SynchronousTestCase):
    """
    By its words alone.
    """

    def test_known(self) -> None:
        """
        llama-server, wherever it is, and what swapgate brings.
        """
        for text in (
            "llama-server -m x",
            "/opt/homebrew/bin/llama-server",
            "/usr/bin/python3 -m swapgate.engine -m x",
            "python -m swapgate.demo --persona general",
        ):
            self.assertTrue(of(text).is_known, text)
        for text in (
            "",
            "python -m vllm",
            "python -m",
            "nice llama-server",
            "llama-server-wrapper",
            "sh -c llama-server",
        ):
            self.assertFalse(of(text).is_known, text)
        self.assertFalse(of("llama-server").is_ours)

    def test_save_path(self) -> None:
        """
        Where it saves by itself; as to llama-server, the last one counts.
        """
        self.assertIsNone(of("llama-server -m x").save_path)
        self.assertIsNone(of("llama-server --slot-save-path").save_path)
        twice = "llama-server --slot-save-path /a -m x --slot-save-path /b"
        self.assertEqual(of(twice).save_path, "/b")

    def test_memory(self) -> None:
        """
        Unless it is told otherwise an engine keeps conversations in its memory.
        """
        self.assertTrue(of("llama-server").keeps_in_memory)
        self.assertTrue(of("llama-server -cram 100").keeps_in_memory)
        self.assertFalse(of("llama-server -cram 0").keeps_in_memory)
        self.assertFalse(of("llama-server --cache-ram 0").keeps_in_memory)

    def test_remedy(self) -> None:
        """
        The flag that is missing is named.
        """
        self.assertIn("add --swa-full", of("llama-server -m x").remedy)
        self.assertNotIn("--swa-full", of("llama-server --swa-full").remedy)

    def test_what_matters(self) -> None:
        """
        A port, a name or the threads do not.
        """
        self.assertEqual(
            of("llama-server --port 1 -m x --alias y -c 10 -t 4").what_matters,
            ("llama-server", "-m", "x", "-c", "10"),
        )
        self.assertEqual(of("llama-server -m x --port").what_matters[1:], ("-m", "x"))
