"""
Mistakes in a configuration: one line each, with the place and the remedy.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.ini import ConfigError
from swapgate.config.loader import Config
from swapgate.config.options import GENERAL, OPTIONS, scoped
from tests.config.test_loader import MODEL, read

ROUTE = "[route r]\nheader = User-Agent\nmatch = x\nmodel = a\n"


class MistakeTests(SynchronousTestCase):
    """
    Each mistake, and what is said of it.
    """

    def refuses(self, table: dict[str, str]) -> None:
        """
        Each text is refused with exactly this line.
        """
        for text, expected in table.items():
            with self.subTest(text):
                error = self.assertRaises(ConfigError, read, text)
                self.assertEqual(str(error), "/etc/c.cfg" + expected)

    def test_sections(self) -> None:
        """
        Only [swapgate], [model NAME] and [route NAME], at least one model.
        """
        there_are = "there are [swapgate], [model NAME] and [route NAME]"
        nameless = "has an empty name; write what clients send as model"
        none = ": has no model; add a section [model NAME]"
        self.refuses(
            {
                "": none,
                "[swapgate]\nload_timeout = 1\n": none,
                "[DEFAULT]\nload_timeout = 1\n" + MODEL: (
                    ":1: [DEFAULT] is no section here; "
                    "what holds for all models stands in [swapgate]"
                ),
                "\n[modle a]\n": (
                    f":2: [modle a] is no section here; did you mean model? {there_are}"
                ),
                "[rout a]\n": (
                    f":1: [rout a] is no section here; did you mean route? {there_are}"
                ),
                ROUTE: none,
                "[Swapgate]\n": (
                    ":1: [Swapgate] is no section here; "
                    f"did you mean swapgate? {there_are}"
                ),
                "[ ]\n": f":1: [ ] is no section here; {there_are}",
                "[gemma]\n": f":1: [gemma] is no section here; {there_are}",
                "[model]\n": f":1: [model] {nameless}",
                "[model  ]\n": f":1: [model  ] {nameless}",
                "[model a\tb]\n": (
                    ":1: [model a\\tb] 'a\\tb' has characters that do not show; "
                    "take them out"
                ),
                "[model a\u200bb]\n": (
                    ":1: [model a\\u200bb] 'a\\u200bb' has characters that do not "
                    "show; take them out"
                ),
                MODEL + MODEL: (
                    ":4: [model a] stands here for the second time; "
                    "make one section of both"
                ),
            }
        )

    def test_general_options(self) -> None:
        """
        [swapgate] has its own options, each with values of its kind.
        """
        there_are = f"there are {', '.join(sorted(scoped(GENERAL)))}"
        table = {
            "colour = 1": f"colour: is no option here; {there_are}",
            "lisen = tcp:1": (
                f"lisen: is no option here; did you mean listen? {there_are}"
            ),
            "Listen = tcp:1": (
                f"Listen: is no option here; did you mean listen? {there_are}"
            ),
            "memory = 1 GB": "memory: is no option here; it belongs to [model NAME]",
            "plist = x": "plist: is no option here; it belongs to [model NAME]",
            "listen = 11430": (
                "listen: '11430' is no endpoint; "
                "write one like tcp:11430:interface=127.0.0.1"
            ),
            "listen = tcp:": (
                "listen: 'tcp:' is no endpoint; "
                "write one like tcp:11430:interface=127.0.0.1"
            ),
            "listen = tcp:1\n tcp:1": (
                "listen: 'tcp:1' stands here twice; keep one of the two "
                "(an indented line continues the option above it)"
            ),
            "listen = tcp:1": (
                "listen: 'tcp:1' is open to other machines; add "
                "interface=127.0.0.1 to it, or set api_keys, or write open = yes if "
                "everybody shall get in"
            ),
            "hosts = *": "hosts: '*' is no host; write NAME or NAME:PORT",
            "listen =": "listen: is empty; give it a value or leave it out",
            "memory_budget = 21.8": (
                "memory_budget: '21.8' has no unit; write GB, GiB, MB or MiB after it"
            ),
            "memory_budget = 21 GB # all": (
                "memory_budget: '21 GB # all' is not a size; write a number and "
                "GB, GiB, MB or MiB, such as 8.2 GB (a comment needs a line of its own)"
            ),
            "memory_budget = ${NO}": (
                "memory_budget: ${NO} is not set in the environment; "
                "set it, or write $$ for a dollar"
            ),
            "health_interval = 1 ms": (
                "health_interval: '1 ms' is out of range; write 10 ms to 60 s"
            ),
            "load_timeout = none": (
                "load_timeout: 'none' is not a duration; "
                "write a number, and ms, s, min or h, such as 90 s"
            ),
            "stop_timeout = 0": (
                "stop_timeout: '0' is no time at all; write a duration above 0"
            ),
            "drain_timeout = 0": (
                "drain_timeout: '0' is no time at all; write a duration above 0, "
                "or none for no limit"
            ),
            "stall_timeout = 5 m": (
                "stall_timeout: '5 m' is not a duration; write a number, "
                "and ms, s, min or h, such as 90 s, or none for no limit"
            ),
            "shutdown_timeout = 15 s\n  state_dir = x": (
                "shutdown_timeout: '15 s\\nstate_dir = x' is not a duration; "
                "write a number, and ms, s, min or h, such as 90 s "
                "(an indented line continues the option above it)"
            ),
            "logformat = xml": "logformat: 'xml' is unknown; write text or json",
            "max_bodies = 63 MiB": (
                "max_bodies: is less than max_body; raise it, or lower that"
            ),
            "max_body = 64": (
                "max_body: '64' has no unit; write GB, GiB, MB or MiB after it"
            ),
            "max_connections = 0": (
                "max_connections: '0' is no number of things; write 1 or more"
            ),
            "state_dir = ~you": (
                "state_dir: '~you' is another user's home; write the whole path"
            ),
        }
        self.refuses(
            {
                f"{MODEL}[swapgate]\n{option}\n": f":5: [swapgate] {expected}"
                for option, expected in table.items()
            }
        )

    def test_names(self) -> None:
        """
        Each name and alias means one model, and stands once.
        """
        b = MODEL.replace("[model a]", "[model b]")
        self.refuses(
            {
                MODEL + MODEL.replace("[model a]", "[model  a]"): (
                    ":4: [model  a] is the second model 'a'; give it a name of its own"
                ),
                MODEL + "aliases = b\n" + b: (
                    ":4: [model a] aliases: 'b' is already the name of [model b]; "
                    "leave out one of the two"
                ),
                MODEL + "aliases = a\n": (
                    ":4: [model a] aliases: 'a' is already the name of [model a]; "
                    "leave out one of the two"
                ),
                MODEL + "aliases = x, x\n": (
                    ":4: [model a] aliases: 'x' is already an alias of [model a]; "
                    "leave out one of the two"
                ),
                MODEL + "aliases = x\n" + b + "aliases = y,x\n": (
                    ":8: [model b] aliases: 'x' is already an alias of [model a]; "
                    "leave out one of the two"
                ),
            }
        )

    def test_auto(self) -> None:
        """
        With rules it is what they choose for; without, a name as any other.
        """
        auto = MODEL.replace("[model a]", "[model auto]")
        said = "'auto' is what clients send to have a [route NAME] choose; "
        self.refuses(
            {
                auto + ROUTE: f":1: [model auto] {said}give the model another name",
                ROUTE + MODEL + "aliases = x, auto\n": (
                    f":8: [model a] aliases: {said}give the model another alias"
                ),
            }
        )
        read(auto + MODEL + "aliases = x\n")

    def test_routes(self) -> None:
        """
        Each option of a rule has its place, and its line.
        """
        for change, said in (
            (("User-Agent", "User Agent"), ":5: [route r] header: 'User Agent' is no "),
            (("x", "("), ":6: [route r] match: '(' is no regular expression (missing "),
            (("x", "(x+)+"), ":6: [route r] match: '(x+)+' could take too long; "),
            (("= a", "= b"), ":7: [route r] model: 'b' is no model here; write a"),
            (("header = User-Agent\n", ""), ":4: [route r] needs header; write "),
            (("header", "heder"), ":5: [route r] heder: is no option here; did you "),
        ):
            text = MODEL + ROUTE.replace(*change)
            with self.subTest(text):
                error = str(self.assertRaises(ConfigError, read, text))
                self.assertTrue(error.startswith(f"/etc/c.cfg{said}"), error)
        self.refuses(
            {
                MODEL + "[swapgate]\ndefault_model = b\n": (
                    ":5: [swapgate] default_model: 'b' is no model here; write a"
                ),
                MODEL + ROUTE + ROUTE: (
                    ":8: [route r] stands here for the second time; "
                    "make one section of both"
                ),
            }
        )

    def test_ports(self) -> None:
        """
        No two models share a port, by whatever name this machine is called.
        """
        launchd = "[model {}]\nservice = launchd\nplist = x\nupstream = http://{}\n"
        for one, other in (
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("127.0.0.1:81", "localhost:81"),
            ("[::1]:81", "localhost:81"),
            ("example.net:81", "EXAMPLE.net:81"),
        ):
            self.refuses(
                {
                    launchd.format("a", one) + launchd.format("b", other): (
                        ":8: [model b] upstream: port 81 is already that of [model a]; "
                        "give each model its own"
                    )
                }
            )
        for one, other in (
            ("127.0.0.1:81", "127.0.0.1:82"),
            ("127.0.0.1:81", "example.net:81"),
        ):
            read(launchd.format("a", one) + launchd.format("b", other))

    def test_the_port_of_the_gateway(self) -> None:
        """
        A request would come back to it, until there are no connections any more.
        """
        model = "[model a]\nservice = remote\nupstream = http://{}:{}\n"
        own = (
            " [model a] upstream: port {} is the gateway's own; "
            "write the one that the daemon listens on"
        )
        listen = "[swapgate]\nlisten = tcp:81:interface=127.0.0.1\n"
        self.refuses(
            {
                model.format("localhost", 11430): f":3:{own.format(11430)}",
                listen + model.format("127.0.0.1", 81): f":5:{own.format(81)}",
            }
        )
        read(model.format("example.net", 11430))
        read(listen + model.format("localhost", 11430))

    def test_snapshot_folders(self) -> None:
        """
        Each model has a folder of its own.
        """
        model = (
            "[model {}]\nservice = command\nstart = x\nstop = x\n"
            "upstream = http://127.0.0.1:{}\nsnapshot_dir = {}\n"
        )
        both = model.format("a", 1, "slots") + model.format("b", 2, "/etc/slots")
        self.refuses(
            {
                both: ":12: [model b] snapshot_dir: /etc/slots is already that of "
                "[model a]; give each model its own",
            }
        )
        read(model.format("a", 1, "slots/a") + model.format("b", 2, "slots/b"))

    def test_ports_of_remotes(self) -> None:
        """
        One remote daemon may have many models, and is no daemon of ours.
        """
        remote = "[model {}]\nservice = remote\nupstream = http://127.0.0.1:81\n"
        here = (
            "[model c]\nservice = child\ncommand = x\nupstream = http://127.0.0.1:81\n"
        )
        both = remote.format("a") + remote.format("b")
        self.assertEqual([model.name for model in read(both).models], ["a", "b"])
        taken = "upstream: port 81 is already that of [model {}]; give each its own"
        taken = taken.replace("each", "each model")
        self.refuses(
            {
                both + here: ":10: [model c] " + taken.format("a"),
                here + both: ":7: [model a] " + taken.format("c"),
            }
        )

    def test_too_large(self) -> None:
        """
        What never fits is found before anything is started, with both sums.
        """
        self.refuses(
            {
                "[swapgate]\nmemory_budget = 21.8 GB\n" + MODEL + "memory = 24 GiB\n": (
                    ":6: [model a] memory: 25.769803776 GB is more than the "
                    "memory_budget of 21.8 GB; raise that, or choose a smaller model"
                )
            }
        )

    def test_too_much_is_pinned(self) -> None:
        """
        What is never evicted must fit together.
        """
        one = MODEL + "pin = yes\n"
        two = one + one.replace("model a", "model b")
        remedy = (
            "cannot hold all that is pinned: a, b; raise memory_budget, or pin fewer"
        )
        self.refuses(
            {
                two: f": [swapgate] {remedy}",
                "[swapgate]\nmemory_budget = 9 GB\n" + two: f":1: [swapgate] {remedy}",
            }
        )
        read(one)


class AnythingTests(SynchronousTestCase):
    """
    Whatever is written, nothing but a `Config` or a `ConfigError` comes of it.
    """

    def answers(self, text: str) -> None:
        """
        Understood, or refused in one line that says where.
        """
        try:
            self.assertIsInstance(read(text), Config)
        except ConfigError as error:
            self.assertTrue(str(error).startswith("/etc/c.cfg"))
            self.assertTrue(str(error).isprintable())

    @settings(max_examples=200, deadline=None)
    @example("memory", "9" * 5000 + " GB")
    @example("upstream", "http://[v1.x]:1")
    @given(
        st.sampled_from(sorted(OPTIONS)), st.text() | st.text("$~{}'\"\\\n =,:/[]@%1x")
    )
    def test_any_value(self, option: str, value: str) -> None:
        """
        Any value of any option.
        """
        launchd = MODEL.replace("child", "launchd")
        for section in (MODEL, launchd, "[swapgate]\n", "[route r]\n"):
            self.answers(f"{section}{option} = {value}\n{MODEL.replace('a]', 'b]')}")

    @settings(max_examples=100, deadline=None)
    @given(st.text() | st.text("[]=#; \n\tmodel"))
    def test_any_text(self, text: str) -> None:
        """
        Any text at all.
        """
        self.answers(text)
        self.answers(MODEL + text)
