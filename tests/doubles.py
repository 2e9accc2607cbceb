"""
Stand-ins for what is outside a module: daemons, their HTTP, the client's connection.
"""

from collections.abc import Callable
from typing import Any, cast

from attrs import define, field, fields
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock

from swapgate.config.access import Access
from swapgate.config.daemon_kinds import ChildSpec
from swapgate.config.expand import Command
from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.continuity.keeper import Keeper
from swapgate.daemons import Daemon, Owner
from swapgate.fleet.conversations import NO_CONVERSATIONS, Conversations
from swapgate.fleet.history import LoadTimes
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.moves import ModelView
from swapgate.fleet.scheduler import Scheduler
from swapgate.upstream.client import UpstreamClient

# A short name for the gateway.
ACCESS = Access(hosts=frozenset({"x"}))


def model(name: str, memory: int = 10, **options: Any) -> ModelSpec:
    """
    A model whose daemon is never really run, and which does not linger.
    """
    return ModelSpec(
        name=name,
        memory_bytes=memory,
        **{
            "service": ChildSpec(command=Command(words=()), cwd="/"),
            "linger_s": 0.0,
            **options,
        },
    )


def config_of(*models: ModelSpec, budget: int = 10, **options: Any) -> Config:
    """
    A configuration of these models, in which nobody waits for another's answers.
    """
    return Config(
        path="/test.cfg",
        budget_bytes=budget,
        models=models,
        state_dir="/nowhere",
        **{"fair_wait_s": 0.0, **options},
    )


def owner(
    gone: Callable[[str], None],
    died: Callable[[str], None] = lambda _: None,
    in_use: Callable[[], bool] = lambda: False,
    is_healthy: Callable[[], Deferred[bool]] = lambda: succeed(False),
) -> Owner:
    """
    The owner of a daemon that is not in use and not healthy.
    """
    return Owner(gone, died, in_use, is_healthy)


def run_now(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """
    What takes a thread elsewhere, done at once.
    """
    return maybeDeferred(function, *args)


def keeper(config: Config | None = None, clock: Clock | None = None) -> Keeper:
    """
    It keeps nothing, unless it is given a configuration.
    """
    state_dir = "/nowhere" if config is None else config.state_dir
    made = Keeper(state_dir, clock or Clock(), run_now, lambda: 0.0)
    if config is not None:
        made.configure(config)
    return made


def load_times() -> LoadTimes:
    """
    What is kept nowhere.
    """
    return LoadTimes(lambda _: None)


def view_of(
    name: str,
    phase: Phase,
    memory: int,
    last_used: float,
    in_flight: int = 0,
    **facts: bool,
) -> ModelView:
    """
    A model as the planner sees it, of which nothing else is true.
    """
    flags = [each.name for each in fields(ModelView) if each.type is bool]
    return ModelView(
        name=name,
        phase=phase,
        memory=memory,
        last_used=last_used,
        in_flight=in_flight,
        **{**dict.fromkeys(flags, False), **facts},
    )


@define(eq=False)
class FakeDaemon(Daemon):
    """
    A daemon that does what the test says, and remembers what it was told.
    """

    name: str
    upstream: Upstream = Upstream(scheme="http", host="127.0.0.1", port=1)
    running: bool = False
    outlives_gateway: bool = False
    up_already: bool = False
    stranger: str | None = None
    cannot_tell: Exception | None = None
    words: str = ""
    adopting: Deferred[bool] | None = None
    in_the_way: str | None = None
    looking: Deferred[str | None] | None = None
    answering: Deferred[bool] | None = None
    silent: bool = False
    lost: bool = False
    cannot: Exception | None = None
    cannot_halt: Exception | None = None
    # What letting go waits for.
    leaving: Deferred[None] | None = None
    told: list[str] = field(factory=list)
    _owner: Owner | None = None

    @property
    def serving(self) -> bool:
        return self.running and not self.lost

    async def preflight(self) -> str | None:
        looking, self.looking = self.looking, None
        return self.in_the_way if looking is None else await looking

    def launch(self, owner: Owner) -> None:
        if self.cannot is not None:
            raise self.cannot
        self.told.append("launch")
        self.running = True
        self._owner = owner

    def relaunch(self) -> bool:
        return False

    async def answers(self) -> bool:
        answering, self.answering = self.answering, None
        silent = not self.up_already or self.silent
        return not silent if answering is None else await answering

    async def adopt(self, owner: Owner) -> bool:
        self.running = self.up_already
        if self.running:
            self._owner = owner
        adopting, self.adopting = self.adopting, None
        return self.running if adopting is None else await adopting

    def halt(self) -> None:
        if self.cannot_halt is not None:
            raise self.cannot_halt
        self.told.append("halt")

    def kill(self) -> None:
        self.told.append("kill")

    def remains(self) -> str:
        return "process 9"

    def detach(self) -> Deferred[None]:
        self.told.append("let go")
        return self.leaving or succeed(None)

    def port_conflict(self) -> str | None:
        if self.cannot_tell is not None:
            raise self.cannot_tell
        return self.stranger

    def last_words(self) -> str:
        return self.words

    def end(self, why: str = "exited with status 0") -> None:
        """
        Let it be gone.
        """
        assert self._owner is not None, f"{self.name} was not launched"
        owner, self._owner = self._owner, None
        self.running = False
        owner.gone(why)

    def die(self, why: str = "ended by itself") -> None:
        """
        Let it have ended, though not proven gone.
        """
        assert self._owner is not None, f"{self.name} was not launched"
        self.running = False
        self._owner.died(why)


@define(eq=False)
class FakeClient:
    """
    One life's HTTP: /health answers what the test says.
    """

    health: int | Exception = 503
    upstream: Upstream = Upstream(scheme="http", host="127.0.0.1", port=1)
    closed: bool = False
    idle_dropped: int = 0
    last_probe: str = ""

    async def get_status(self, path: str) -> int:
        assert path == "/health"
        if isinstance(self.health, Exception):
            raise self.health
        return self.health

    def drop_idle(self) -> None:
        self.idle_dropped += 1

    def close(self) -> None:
        self.closed = True


@define
class Farm:
    """
    Fake daemons for a config, and the client of each one's present life.
    """

    config: Config
    clock: Clock = field(factory=Clock)
    daemons: dict[str, FakeDaemon] = field(factory=dict)
    clients: dict[str, FakeClient] = field(factory=dict)
    first_health: dict[str, int] = field(factory=dict)
    # Of whom no client can be made, and why; whose health is never told.
    unaskable: dict[str, Exception] = field(factory=dict)

    def make_daemon(self, spec: ModelSpec) -> FakeDaemon:
        daemon = self.daemons[spec.name] = FakeDaemon(spec.name)
        return daemon

    def make_client(self, daemon: Daemon) -> UpstreamClient:
        assert isinstance(daemon, FakeDaemon)
        if daemon.name in self.unaskable:
            raise self.unaskable[daemon.name]
        # Who looks whether a daemon is up finds nobody, unless the test put it up.
        up = daemon.running or daemon.up_already
        health = self.first_health.get(daemon.name, 503)
        client = FakeClient(health if up else ConnectionRefusedError())
        self.clients[daemon.name] = client
        return cast(UpstreamClient, client)

    def scheduler(self, conversations: Conversations = NO_CONVERSATIONS) -> Scheduler:
        return Scheduler(
            self.config,
            self.make_daemon,
            self.clock,
            self.make_client,
            load_times(),
            conversations,
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds * 100))

    def come_up(self, name: str) -> None:
        """
        Let a loading daemon be healthy, and be seen to be.
        """
        self.clients[name].health = 200
        self.first_health[name] = 503
        self.pass_time(0.3)
