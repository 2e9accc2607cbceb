"""
Loader: a whole configuration, understood. Its mistakes are in `test_loader_mistakes`.
"""

from collections.abc import Mapping

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import Access
from swapgate.config.daemon_kinds import ChildSpec, LaunchdSpec
from swapgate.config.expand import Command
from swapgate.config.ini import ConfigError
from swapgate.config.keys import Key
from swapgate.config.limits import Limits
from swapgate.config.loader import Config, candidates, read_config
from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream

ENVIRON = {"HOME": "/home/me", "BUDGET": "21 GB", "HF_HOME": "/hf"}

# The least that is a model; a test adds what it is about.
MODEL = """\
[model a]
service = child
command = llama-server --port ${port}
"""


def read(
    text: str, environ: Mapping[str, str] = ENVIRON, platform: str = "linux"
) -> Config:
    """
    `text` as if it stood in /etc/c.cfg.
    """
    return read_config(
        text, path="/etc/c.cfg", environ=environ, python="/bin/py", platform=platform
    )


class ConfigTests(SynchronousTestCase):
    """
    A file that is in order.
    """

    def test_least(self) -> None:
        """
        One model that says how it is run is enough: all else has defaults.
        """
        self.assertEqual(
            read(MODEL),
            Config(
                path="/etc/c.cfg",
                listen=("tcp:11430:interface=127.0.0.1",),
                budget_bytes=1,
                models=(
                    ModelSpec(
                        name="a",
                        aliases=(),
                        memory_bytes=1,
                        service=ChildSpec(
                            command=Command(
                                words=("llama-server", "--port", "${port}")
                            ),
                            env=(),
                            cwd="/etc",
                        ),
                        upstream=None,
                        health_interval_s=0.2,
                        load_timeout_s=180.0,
                        stop_timeout_s=10.0,
                        drain_timeout_s=None,
                        first_token_timeout_s=None,
                        stall_timeout_s=300.0,
                    ),
                ),
                shutdown_timeout_s=15.0,
                state_dir="/home/me/.local/state/swapgate",
                logformat="text",
                limits=Limits(
                    header_timeout_s=10.0,
                    body_timeout_s=30.0,
                    body_rate=16_384,
                    keep_alive_timeout_s=60.0,
                    send_timeout_s=60.0,
                    max_body_bytes=67_108_864,
                    max_bodies_bytes=1_073_741_824,
                    max_connections=8192,
                    max_connections_per_address=None,
                ),
            ),
        )

    def test_everything(self) -> None:
        """
        Every option there is; a model's own timings come before those for all.
        """
        config = read(
            """
            [swapgate]
            listen =
                tcp:11430:interface=127.0.0.1
                # our own
                unix:${dir}/socket
            memory_budget = ${BUDGET}
            health_interval = 100 ms
            load_timeout = 1 min
            stop_timeout = 5
            drain_timeout = 1 h
            stall_timeout = none
            shutdown_timeout = 20 s
            state_dir = ~/state
            logformat = json
            header_timeout = 1
            body_timeout = 2
            body_rate = 3 kB/s
            keep_alive_timeout = 4
            send_timeout = 5
            max_body = 6 MB
            max_bodies = 7 MB
            max_connections = 7
            max_connections_per_address = 8

            [model a]
            aliases = x.gguf,  Two Words
                1.5
            memory = 20 GB
            service = child
            command = ${python} -m engine --port ${port}
            env = HF_HOME, UNSET, THREADS=8
            upstream = http://127.0.0.1:81
            health_interval = 1
            load_timeout = 2
            stop_timeout = 3
            drain_timeout = none
            stall_timeout = 4

            [model  b c]
            service = launchd
            plist = l/b.plist
            upstream = http://127.0.0.1:82
            """
        )
        timings = {
            "health_interval_s": 0.1,
            "load_timeout_s": 60.0,
            "stop_timeout_s": 5.0,
            "drain_timeout_s": 3600.0,
            "first_token_timeout_s": None,
            "stall_timeout_s": None,
        }
        b = ModelSpec(
            name="b c",
            memory_bytes=21 * 10**9,
            service=LaunchdSpec(plist="/etc/l/b.plist"),
            upstream=Upstream(scheme="http", host="127.0.0.1", port=82),
            **timings,  # type: ignore[arg-type]
        )
        a = ModelSpec(
            name="a",
            aliases=("x.gguf", "Two Words", "1.5"),
            memory_bytes=20 * 10**9,
            service=ChildSpec(
                command=Command(words=("/bin/py", "-m", "engine", "--port", "81")),
                env=(("HF_HOME", "/hf"), ("THREADS", "8")),
                cwd="/etc",
            ),
            upstream=Upstream(scheme="http", host="127.0.0.1", port=81),
            health_interval_s=1.0,
            load_timeout_s=2.0,
            stop_timeout_s=3.0,
            drain_timeout_s=None,
            first_token_timeout_s=4.0,
            stall_timeout_s=4.0,
        )
        self.assertEqual(
            config,
            Config(
                path="/etc/c.cfg",
                listen=("tcp:11430:interface=127.0.0.1", "unix:/etc/socket"),
                budget_bytes=21 * 10**9,
                models=(a, b),
                shutdown_timeout_s=20.0,
                state_dir="/home/me/state",
                logformat="json",
                limits=Limits(
                    header_timeout_s=1.0,
                    body_timeout_s=2.0,
                    body_rate=3_000,
                    keep_alive_timeout_s=4.0,
                    send_timeout_s=5.0,
                    max_body_bytes=6_000_000,
                    max_bodies_bytes=7_000_000,
                    max_connections=7,
                    max_connections_per_address=8,
                ),
            ),
        )

    def test_names(self) -> None:
        """
        All names in their order, then all aliases in theirs, each to its model.
        """
        config = read(
            MODEL.replace("[model a]", "[model b]\naliases = z, y")
            + MODEL
            + "aliases = x, b.gguf\n"
        )
        self.assertEqual(
            list(config.names.items()),
            [
                ("b", "b"),
                ("a", "a"),
                ("z", "b"),
                ("y", "b"),
                ("x", "a"),
                ("b.gguf", "a"),
            ],
        )
        self.assertEqual(
            dict(evolve(config, models=config.models[:1]).names),
            {"b": "b", "z": "b", "y": "b"},
        )

    def test_access(self) -> None:
        """
        Who is let in, which may be everybody where it is said.
        """
        config = read(
            "[swapgate]\nlisten = tcp:80\nhosts = box.lan\norigins = https://a\n"
            "api_keys = ${KEY}\n  file:keys\nmodels_need_key = no\n" + MODEL,
            {**ENVIRON, "KEY": "sk-1-0123456789ab"},
        )
        self.assertEqual(
            config.access,
            Access(
                hosts=frozenset({"box.lan"}),
                origins=frozenset({"https://a"}),
                keys=(Key.of("KEY", "sk-1-0123456789ab"),),
                key_files=("/etc/keys",),
            ),
        )
        config = read("[swapgate]\nlisten = tcp:80\nopen = yes\n" + MODEL)
        self.assertFalse(config.access.keyed)

    def test_one_at_a_time(self) -> None:
        """
        Without a budget no two models fit together, whatever memory says.
        """
        b = MODEL.replace("[model a]", "[model b]\nmemory = 1 MB")
        config = read(MODEL + b)
        self.assertEqual(config.budget_bytes, 1)
        self.assertEqual([model.memory_bytes for model in config.models], [1, 1])

    def test_waiting(self) -> None:
        """
        How long, how many, and how it is told; for all, or for one model.
        """
        text = "[swapgate]\n{}\n[model a]\nservice = child\ncommand = x ${{port}}\n{}"
        config = read(text.format("", ""))
        [a] = config.models
        self.assertEqual((config.fair_wait_s, config.max_held), (15.0, 4096))
        usual = (0.5, 5.0, None, "extensions")
        self.assertEqual((a.linger_s, a.keepalive_s, a.max_active, a.notice), usual)
        general = "fair_wait = 0\nmax_held = 7\nlinger = 0\nmax_active = 2"
        config = read(text.format(general, "keepalive = 0\nnotice = reasoning\n"))
        [a] = config.models
        self.assertEqual((config.fair_wait_s, config.max_held), (0.0, 7))
        theirs = (0.0, 0.0, 2, "reasoning")
        self.assertEqual((a.linger_s, a.keepalive_s, a.max_active, a.notice), theirs)
        none = "max_active = none\nnotice = none\n"
        [a] = read(text.format(general, none)).models
        self.assertEqual((a.max_active, a.notice), (None, None))

    def test_pinned_and_preloaded(self) -> None:
        """
        What is pinned keeps its memory; what cannot be up beside it is told why.
        """
        text = "[swapgate]\nmemory_budget = 20 GB\nidle_unload = 15 min\n"
        for name, memory, more in (
            ("a", 8, "pin = yes\npreload = yes"),
            ("b", 12, "pin = no\nidle_unload = none"),
            ("c", 13, ""),
        ):
            text += f"[model {name}]\nmemory = {memory} GB\n{more}\n"
            text += "service = child\ncommand = x ${port}\n"
        config = read(text)
        a, b, c = config.models
        self.assertEqual(
            [(m.pin, m.preload, m.idle_unload_s) for m in (a, b, c)],
            [(True, True, 900), (False, False, None), (False, False, 900)],
        )
        self.assertIsNone(config.never_fits("a"))
        self.assertIsNone(config.never_fits("b"))
        self.assertEqual(
            config.never_fits("c"),
            "c needs 13 GB, and a, which is pinned, keeps 8 GB of the memory_budget "
            "of 20 GB",
        )

    def test_pinned_one_at_a_time(self) -> None:
        """
        Without a budget, what is pinned leaves room for nothing else.
        """
        config = read(f"{MODEL}pin = yes\n{MODEL.replace('model a', 'model b')}")
        self.assertEqual(
            config.never_fits("b"), "one model is up at a time, and a is pinned"
        )

    def test_just_fits(self) -> None:
        """
        A model may be as large as the budget.
        """
        config = read(f"[swapgate]\nmemory_budget = 1 GB\n{MODEL}memory = 1000 MB")
        self.assertEqual(config.models[0].memory_bytes, config.budget_bytes)

    def test_places_by_platform(self) -> None:
        """
        State goes where the platform keeps it.
        """
        for environ, platform, expected in (
            ({"HOME": "/h"}, "linux", "/h/.local/state/swapgate"),
            ({"HOME": "/h", "XDG_STATE_HOME": "/x"}, "linux", "/x/swapgate"),
            ({"XDG_STATE_HOME": "/x"}, "linux", "/x/swapgate"),
            (
                {"HOME": "/h", "XDG_STATE_HOME": "x"},
                "linux",
                "/h/.local/state/swapgate",
            ),
            (
                {"HOME": "/h", "XDG_STATE_HOME": "/x"},
                "darwin",
                "/h/Library/Application Support/swapgate",
            ),
        ):
            with self.subTest(expected):
                self.assertEqual(read(MODEL, environ, platform).state_dir, expected)

    def test_without_home(self) -> None:
        """
        Where there is no home, only what needs one is missed.
        """
        error = self.assertRaises(ConfigError, read, MODEL, {})
        self.assertEqual(
            str(error),
            "/etc/c.cfg: [swapgate] needs state_dir, as HOME is not set; "
            "write its path",
        )
        config = read("[swapgate]\nstate_dir = /var/lib/swapgate\n" + MODEL, {})
        self.assertEqual(config.state_dir, "/var/lib/swapgate")

    def test_relative_path(self) -> None:
        """
        Whose folder is not known cannot say what ${dir} is: the caller's mistake.
        """
        self.assertRaises(
            ValueError,
            read_config,
            MODEL,
            path="c.cfg",
            environ=ENVIRON,
            python="",
            platform="linux",
        )


class ErrorTests(SynchronousTestCase):
    """
    Mistakes that show after the text was read.
    """

    def test_place(self) -> None:
        """
        The file, the section, [swapgate] unless another is given, and the option.
        """
        config = read(MODEL)
        for error, place in (
            (config.error("is wrong", "listen"), "[swapgate] listen"),
            (config.error("is wrong", "x", section="model a"), "[model a] x"),
        ):
            self.assertEqual(str(error), f"/etc/c.cfg: {place}: is wrong")


class CandidatesTests(SynchronousTestCase):
    """
    Where a configuration is looked for.
    """

    def test_order(self) -> None:
        """
        The environment's word, the user's folder, the machine's.
        """
        etc = "/etc/swapgate.cfg"
        environments: list[tuple[dict[str, str], str, tuple[str, ...]]] = [
            (
                {"SWAPGATE_CONFIG": "my.cfg", "HOME": "/h"},
                "linux",
                ("my.cfg", "/h/.config/swapgate/swapgate.cfg", etc),
            ),
            (
                {"SWAPGATE_CONFIG": "", "HOME": "/h", "XDG_CONFIG_HOME": "/x"},
                "linux",
                ("/x/swapgate/swapgate.cfg", etc),
            ),
            (
                {"HOME": "/h", "XDG_CONFIG_HOME": "/x"},
                "darwin",
                ("/h/Library/Application Support/swapgate/swapgate.cfg", etc),
            ),
            ({}, "darwin", (etc,)),
        ]
        for environ, platform, expected in environments:
            with self.subTest(expected):
                self.assertEqual(candidates(environ, platform), expected)
