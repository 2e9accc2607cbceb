"""
One [model NAME] section, read or refused.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Expander
from swapgate.config.ini import ConfigError, read_sections
from swapgate.config.model import ModelSpec, model_name, read_model
from swapgate.config.options import MODEL, scoped

ENVIRON = {"HOME": "/home/me", "KEY": " sk-secret\n", "LINES": "sk-secret\nx", "NO": ""}
EXPANDER = Expander(folder="/etc", python="/bin/py", environ=ENVIRON)

CHILD = "[model a]\nservice = child\ncommand = llama-server --port ${port}\n"
SYSTEMD = (
    "[model a]\nservice = systemd\nunit = x.service\nupstream = http://127.0.0.1:81\n"
)
COMMAND = (
    "[model a]\nservice = command\nstart = run 'a b' ${port}\nstop = end {{.X}}\n"
    "upstream = http://127.0.0.1:81\n"
)
REMOTE = "[model a]\nservice = remote\nupstream = https://big.example.net\n"
LAUNCHD = "[model a]\nservice = launchd\nplist = x\nupstream = http://127.0.0.1:81\n"


def read(text: str) -> ModelSpec:
    """
    The one section of `text`, under a budget of 8 GB.
    """
    (section,) = read_sections(text, "/c")
    return read_model(model_name(section), section, 8 * 10**9, {}, EXPANDER)


class Refusing(SynchronousTestCase):
    """
    A table of texts and what is said of them.
    """

    def refuses(self, table: dict[str, str]) -> None:
        """
        Each text is refused with exactly this line.
        """
        for text, expected in table.items():
            with self.subTest(text):
                error = self.assertRaises(ConfigError, read, text)
                self.assertEqual(str(error), "/c:" + expected)


class ModelTests(SynchronousTestCase):
    """
    A section that is in order.
    """

    def test_health(self) -> None:
        """
        Another path may be asked, or none.
        """
        self.assertEqual(read(CHILD).health, "/health")
        for text in (LAUNCHD, SYSTEMD, COMMAND, REMOTE):
            self.assertEqual(read(text).health, "/health")
            self.assertEqual(read(text + "health = /api?x=1\n").health, "/api?x=1")
            self.assertIsNone(read(text + "health = none\n").health)

    def test_names_as_they_are(self) -> None:
        """
        Names keep case, dots, slashes, spaces within; only their ends are stripped.
        """
        text = CHILD.replace("[model a]", "[model  Org/Qwen  2.5 (Q8) ]")
        model = read(text + "aliases =\n  Ünï ,\n\n  b;c\n  100%\n")
        self.assertEqual(model.name, "Org/Qwen  2.5 (Q8)")
        self.assertEqual(model.aliases, ("Ünï", "b;c", "100%"))

    def test_claims(self) -> None:
        """
        What no second daemon can have: an address, a service; a remote's may be shared.
        """
        self.assertEqual(read(CHILD).claims, frozenset())
        fixed = read(CHILD + "upstream = http://127.0.0.1:81\n")
        self.assertEqual(fixed.claims, {("127.0.0.1", 81)})
        agent = read(LAUNCHD)
        self.assertEqual(agent.claims, {("127.0.0.1", 81), agent.service})
        self.assertEqual(read(REMOTE).claims, frozenset())


class MistakeTests(Refusing):
    """
    A section that is not in order: one line each.
    """

    def test_notice(self) -> None:
        """
        Where a held stream is told of its wait.
        """
        for text, notice in (
            ("notice = reasoning", "reasoning"),
            ("notice = extensions", "extensions"),
            ("notice = none", None),
            ("", "extensions"),
        ):
            [section] = read_sections(f"{CHILD}{text}\n", "/c")
            model = read_model("a", section, None, {}, EXPANDER)
            self.assertEqual(model.notice, notice)

    def test_options(self) -> None:
        """
        Options that are nowhere, or elsewhere.
        """
        of_a_child = scoped(MODEL, "child")
        self.refuses(
            {
                CHILD + "alias = x\n": (
                    "4: [model a] alias: is no option here; did you mean aliases? "
                    f"there are {', '.join(sorted(of_a_child))}"
                ),
                CHILD + "notice = comment\n": (
                    "4: [model a] notice: 'comment' is unknown; write "
                    "extensions, reasoning or none"
                ),
                CHILD + "plist = x\n": (
                    "4: [model a] plist: is no option here; "
                    "it belongs to service = launchd"
                ),
                LAUNCHD + "env = X\n": (
                    "5: [model a] env: is no option here; "
                    "it belongs to service = child or command"
                ),
                CHILD + "listen = tcp:1\n": (
                    "4: [model a] listen: is no option here; it belongs to [swapgate]"
                ),
                CHILD + "memory_budget = 1 GB\n": (
                    "4: [model a] memory_budget: is no option here; "
                    "it belongs to [swapgate]"
                ),
            }
        )

    def test_values(self) -> None:
        """
        Values that cannot be meant.
        """
        self.refuses(
            {
                CHILD + "memory = 8\n": (
                    "4: [model a] memory: '8' has no unit; "
                    "write GB, GiB, MB or MiB after it"
                ),
                COMMAND + "health = health\n": (
                    "6: [model a] health: 'health' is no path; "
                    "write one like /health, or none"
                ),
                REMOTE + "memory = 1 GB\n": (
                    "4: [model a] memory: a remote daemon takes none of this "
                    "machine's; leave it out"
                ),
                CHILD + "memory = 8001 MB\n": (
                    "4: [model a] memory: 8.001 GB is more than the memory_budget "
                    "of 8 GB; raise that, or choose a smaller model"
                ),
                CHILD + "aliases = x,,y\n": (
                    "4: [model a] aliases: has an empty name; "
                    "write what clients send as model"
                ),
                CHILD + "aliases = x\ty\n": (
                    "4: [model a] aliases: 'x\\ty' has characters that do not show; "
                    "take them out"
                ),
                CHILD + "env = A B\n": (
                    "4: [model a] env: 'A B' is no variable's name; "
                    "write NAME or NAME=value, and quotes around a value with a comma"
                ),
                CHILD + "load_timeout = soon\n": (
                    "4: [model a] load_timeout: 'soon' is not a duration; "
                    "write a number, and ms, s, min or h, such as 90 s"
                ),
            }
        )


class ClaimTests(SynchronousTestCase):
    """
    What only one daemon at a time can have.
    """

    def test_an_address_and_a_service(self) -> None:
        """
        Those of daemons that others run; a child has its address, if that is fixed.
        """
        claims = read(SYSTEMD).claims
        self.assertIn(("127.0.0.1", 81), claims)
        self.assertEqual(len(claims), 2)
        self.assertEqual(read(CHILD).claims, frozenset())
        fixed = f"{CHILD}upstream = http://127.0.0.1:81\n"
        self.assertEqual(read(fixed).claims, {("127.0.0.1", 81)})

    def test_a_remote_one(self) -> None:
        """
        It is not ours to start twice.
        """
        self.assertEqual(read(REMOTE).claims, frozenset())
