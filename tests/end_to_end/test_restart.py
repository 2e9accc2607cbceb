"""
Gateways that crash, meet each other, or are told to read their configuration again.
"""

import os
import signal
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from swapgate.daemons.processes import group_lives
from tests.rig import events_of
from tests.rig_twistd import TwistdCase
from tests.test_tap import TWISTD, environment


class CrashTests(TwistdCase):
    """
    A gateway that was killed, and the next one.
    """

    async def crash(self) -> None:
        self.gateway.signal("KILL")
        await self.gateway.ended

    async def test_children_left_behind(self) -> None:
        """
        They are recognised and ended before anything is loaded.
        """
        await self.start(a="--ignore-sigterm", b="")
        await self.chat("a")
        await self.crash()
        [orphan] = self.told("started")
        self.assertTrue(group_lives(orphan["pid"]))
        await self.serve(self.config.read_text())
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertFalse(group_lives(orphan["pid"]))
        await self.terminate()

    async def test_in_the_middle_of_a_load(self) -> None:
        """
        A child that was still loading is no exception.
        """
        await self.start(a="--never-healthy", b="")
        await self.begin_stream("a")
        orphan = await self.until_told("listening", "a")
        await self.crash()
        await self.serve(self.config.read_text())
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertFalse(group_lives(orphan["pid"]))

    async def test_a_stranger_with_the_same_pid(self) -> None:
        """
        A process that only has a dead child's pid is left alone.
        """
        await self.start()
        await self.chat("a")
        await self.crash()
        [orphan] = self.told("started")
        record = self.folder / "children.json"
        text = record.read_text()
        self.assertIn(str(orphan["pid"]), text)
        record.write_text(text.replace('"born": ', '"born": 9'))
        await self.serve(self.config.read_text())
        await self.ask("/health")
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertTrue(group_lives(orphan["pid"]))
        os.killpg(orphan["pid"], signal.SIGKILL)

    async def test_a_second_gateway(self) -> None:
        """
        On the same state folder or port it ends at once, and touches no daemon.
        """
        await self.start()
        await self.chat("a")
        assert self.gateway.transport is not None
        pid = self.gateway.transport.pid
        for change, said in (
            (("", ""), f"swapgate runs already: process {pid} has the folder "),
            ((str(self.folder), "other"), "cannot listen"),
        ):
            text = self.text().replace("tcp:0", f"tcp:{self.port}").replace(*change)
            config = Path(self.mktemp()).absolute()
            config.write_text(text)
            out, err, code = await getProcessOutputAndValue(
                TWISTD[0],
                [*TWISTD[1:], "swapgate", "--config", str(config)],
                environment(HOME=str(self.config.parent)),
                str(self.config.parent),
                reactor,
            )
            self.assertEqual(code, 1, out)
            self.assertIn(said, (out + err).decode())
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)
        await self.terminate()


class ReloadTests(TwistdCase):
    """
    SIGHUP.
    """

    async def reload(self, text: str, logged: str) -> None:
        self.config.write_text(text)
        # Once it answers it has started, and the signal does not end it any more.
        await self.ask("/health")
        self.gateway.signal("HUP")
        await self.gateway.until(logged)

    async def test_unchanged_models_go_on(self) -> None:
        """
        A stream of an unchanged model is not touched; a new model can be used.
        """
        await self.start(a="")
        client = await self.begin_stream("a", tokens=40, interval_s=0.05)
        await client.until(b"x_sent_ns")
        await self.reload(self.text(a="", new=""), "is in effect")
        listed = (await self.ask("/v1/models")).json["data"]
        self.assertEqual([entry["id"] for entry in listed], ["a", "new"])
        body = (await client.answer()).body
        self.assertEqual(events_of(body)[-1], "[DONE]")
        self.assertEqual((await self.chat("new")).status, 200)
        self.assertEqual(len(self.told("started", "a")), 1)
        await self.terminate()

    async def test_a_wrong_configuration(self) -> None:
        """
        It is reported with its place, and changes nothing.
        """
        await self.start(a="")
        await self.chat("a")
        await self.reload(self.text(a="") + "nonsense = 1\n", "nonsense: is no option")
        self.assertEqual((await self.chat("a")).status, 200)
        self.config.unlink()
        self.gateway.signal("HUP")
        await self.gateway.until("no configuration file")
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)
        await self.terminate()

    async def test_a_key_that_others_may_read(self) -> None:
        """
        A wrong configuration, at a reload too.
        """
        key = self.journal.parent / "a.key"
        key.write_text("sk-secret")
        key.chmod(0o644)
        await self.start(a="")
        far = "[model far]\nservice = remote\nupstream = http://127.0.0.1:9\n"
        text = f"{self.text(a='')}{far}api_key = file:{key}\n"
        await self.reload(text, "the configuration stays as it was: .*chmod 600")
        listed = (await self.ask("/v1/models")).json["data"]
        self.assertEqual([entry["id"] for entry in listed], ["a"])
        self.assertNotIn("sk-secret", self.gateway.log)
        await self.terminate()

    async def test_a_public_port_stays_guarded(self) -> None:
        """
        While it is open no reload takes its keys away, whatever `listen` says now.
        """
        key = self.journal.parent / "keys"
        key.write_text("me: sk-a-key-that-is-long-enough")
        key.chmod(0o600)
        self.listen = ("tcp:0",)
        self.general = f"api_keys = file:{key}"
        await self.start(a="")
        self.assertEqual((await self.ask("/v1/models")).status, 401)
        self.listen, self.general = ("tcp:0:interface=127.0.0.1",), ""
        refused = "the configuration stays as it was: .*'tcp:0' is open to other mach"
        await self.reload(self.text(a="", b=""), refused)
        for path in ("/v1/models", "/swapgate/state"):
            self.assertEqual((await self.ask(path)).status, 401, path)
        self.general = f"api_keys = file:{key}\nmodels_need_key = yes"
        await self.reload(self.text(a="", b=""), "is in effect")
        self.assertEqual((await self.ask("/v1/models")).status, 401)
        await self.terminate()

    async def test_a_changed_model(self) -> None:
        """
        Its daemon is started anew, with the new command.
        """
        await self.start(a="")
        await self.chat("a")
        await self.reload(self.text(a="--load-time 0.1"), "is in effect")
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 2)
        self.assertIn("--load-time", self.told("started")[1]["argv"])
        await self.terminate()

    async def test_what_takes_a_restart(self) -> None:
        """
        Ports and the state folder stay as they are, and the log says so.
        """
        await self.start(a="")
        text = self.text(a="").replace(str(self.folder), "new")
        await self.reload(text, "take effect at the next start only")
        self.assertEqual((await self.chat("a")).status, 200)
        await self.terminate()
