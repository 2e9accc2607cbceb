"""
Service: the composition root. Builds the gateway; starts, reloads and stops it.

1. Start: the state folder's lock, SIGHUP, then the ports; the daemons of an earlier
   gateway are ended before the first one of ours is started.
2. Reload: all of the new configuration is checked before any of it takes effect;
   `listen` and `state_dir` take effect at the next start.
3. Stop, within `shutdown_timeout`: no new connections, drain, stop the daemons, close.
"""

import gc
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from swapgate.api.resource import Gateway
from swapgate.config import daemon_kinds as kinds
from swapgate.config.access import exposed_endpoint
from swapgate.config.endpoints import with_backlog
from swapgate.config.file import load_config
from swapgate.config.ini import ConfigError
from swapgate.config.limits import Limits
from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.continuity.keeper import Keeper
from swapgate.daemons import Daemon
from swapgate.daemons.child import Child
from swapgate.daemons.command import Commands
from swapgate.daemons.control import Control
from swapgate.daemons.external import ExternalDaemon
from swapgate.daemons.launchd import Launchctl
from swapgate.daemons.remote import Remote
from swapgate.daemons.systemd import Systemctl
from swapgate.descriptors import needed, within
from swapgate.fleet.history import LoadTimes
from swapgate.fleet.scheduler import Scheduler
from swapgate.logs import EventLog, open_log_file
from swapgate.net import PortService, check_endpoints
from swapgate.pages.files import page_files
from swapgate.server.site import GatewaySite
from swapgate.startup import (
    cannot_listen,
    exit_if_unusable,
    missing_engine,
    report_failure,
    welcome,
)
from swapgate.state_folder import StateFolder
from swapgate.upstream.client import UpstreamClient

# How many connections may wait to be accepted, as far as the system allows.
_BACKLOG = 1024
# What was saved last has so long to be on the disk.
_AT_LEAST_S = 0.5


def _check_open_ports(config: Config, in_use: Sequence[str]) -> None:
    """
    Ports stay open until the next start: the keys that protect them must stay, too.
    """
    endpoint = exposed_endpoint(in_use, config.listen, config.access)
    if endpoint is not None:
        raise config.error(
            f"{endpoint!r} is open to other machines until the next start; keep "
            "api_keys for as long (and models_need_key = yes), or restart swapgate",
            "listen",
        )


class Swapgate(MultiService):
    """
    The gateway as a Twisted service, with a child service for each port.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        *,
        descriptors: int,
        twistd: Mapping[str, Any] | None = None,
        logformat: str | None = None,
    ) -> None:
        """
        :param descriptors: how many this process may have.
        :param twistd: its options, which say where it logs to.
        :param logformat: instead of the configuration's.
        """
        super().__init__()
        self._twistd, self._logformat = twistd, logformat
        self._event_log: EventLog | None = None
        self._config, self._reactor = config, reactor
        self._descriptors = descriptors
        # The endpoints in use, until the process ends.
        self._listen = config.listen
        self._state = StateFolder(config.state_dir, reactor)
        self._load_times = LoadTimes(self._state.save_load_times)
        self._keeper = Keeper(config.state_dir, reactor, self._in_thread, time.time)
        self._scheduler = Scheduler(
            config,
            lambda spec: _daemon(spec, reactor, self._state, self._keeper),
            reactor,
            lambda daemon: UpstreamClient(daemon.upstream, reactor),
            self._load_times,
            self._keeper,
        )
        self._gateway = Gateway(
            config, self._scheduler, reactor, int(time.time()), self._keeper
        )
        self._site = GatewaySite(
            self._gateway,
            access=config.access,
            limits=self._limits(config),
            pages=page_files().keys(),
            reactor=reactor,
        )
        self._ports = [
            PortService(
                serverFromString(reactor, with_backlog(endpoint, _BACKLOG)), self._site
            )
            for endpoint in config.listen
        ]
        for port in self._ports:
            self.addService(port)

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function, *args)

    def _limits(self, config: Config) -> Limits:
        """
        The configured limits, lowered to what there are descriptors for.
        """
        wanted, limits = config.limits, within(config.limits, self._descriptors)
        if limits.max_connections < wanted.max_connections:
            self._log.warn(
                "{granted} descriptors are granted, of {needed} that max_connections "
                "= {wanted} may need: at most {possible} clients are let in",
                granted=self._descriptors,
                needed=needed(wanted.max_connections),
                wanted=wanted.max_connections,
                possible=limits.max_connections,
            )
        return limits

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        # twistd takes its application's log observer, and makes one if there is none.
        if self._twistd is not None and isinstance(parent, Componentized):
            file = open_log_file(self._twistd, self._reactor)
            if file is not None:
                self._event_log = EventLog(self._format_of(self._config), file)
                parent.setComponent(ILogObserver, self._event_log)

    def _format_of(self, config: Config) -> str:
        return self._logformat or config.logformat

    def privilegedStartService(self) -> None:
        try:
            self._open()
        except SystemExit as end:
            report_failure(str(end), self._twistd)
            raise

    def _open(self) -> None:
        with exit_if_unusable():
            self._state.acquire()
        # Before a port is open: from then on we seem to run, and may be sent signals.
        with suppress(ValueError):  # In a thread that is not the main one.
            self._handle_signals()
        try:
            super().privilegedStartService()
        # Each kind of endpoint stumbles in its own way here, too.
        except (CannotListenError, OSError, OverflowError, ValueError) as error:
            raise SystemExit(cannot_listen(error)) from None

    def _handle_signals(self) -> None:
        """
        SIGHUP reads the configuration again; SIGTERM stops us in order, before the
        reactor runs and has a handler of its own, too.
        """
        net = self._reactor
        signal.signal(signal.SIGHUP, lambda *_: net.callFromThread(self.reload))
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: net.callFromThread(net.stop))

    def startService(self) -> None:
        super().startService()
        if self._twistd is not None:
            # What is here by now stays: collecting garbage would look at it each time,
            # for 15 ms.
            gc.freeze()
        self._load_times.recall(self._state.load_times())
        self._keeper.configure(self._config)
        self._scheduler.start(self._state.end_orphans())
        opened = gatherResults([port.opened for port in self._ports])
        opened.addCallbacks(self._welcome, self._not_open)

    def _not_open(self, why: Failure) -> None:
        # Stopping cancels what is not open yet.
        if self.running:
            self._log.failure("cannot listen", why)

    def _welcome(self, ports: list[IListeningPort]) -> None:
        line = welcome(self._config, [port.getHost() for port in ports])
        self._log.info("{line}", line=line)
        missing = missing_engine(
            self._config,
            sys.executable,
            installed=find_spec("xllamacpp") is not None,
            on_path=shutil.which("llama-server") is not None,
        )
        if missing is not None:
            self._log.warn("{line}", line=missing)

    def reload(self) -> None:
        """
        Read the configuration again. A wrong one is logged, and changes nothing.
        """
        old = self._config
        try:
            new = load_config(old.path)
            check_endpoints(new, self._reactor)
            _check_open_ports(new, self._listen)
        except (ConfigError, SystemExit) as error:
            self._log.error("the configuration stays as it was: {error}", error=error)
            return
        if (new.listen, new.state_dir) != (self._listen, old.state_dir):
            self._log.warn("listen and state_dir take effect at the next start only")
        self._config = new
        self._site.access = new.access
        self._gateway.reconfigure(new)
        self._site.limits = self._limits(new)
        if self._event_log is not None:
            self._event_log.logformat = self._format_of(new)
        self._keeper.configure(new)
        self._scheduler.reconfigure(new)
        self._log.info("{path} is in effect", path=new.path)

    def stopService(self) -> Deferred[None]:
        """
        Close the ports, drain, stop the daemons, close the connections.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        with self._ignoring_signals():
            end_s = self._reactor.seconds() + self._config.shutdown_timeout_s
            await super().stopService()
            await self._scheduler.stop()
            await self._site.close(max(end_s - self._reactor.seconds(), 0.0))
            await self._keeper.stop(max(end_s - self._reactor.seconds(), _AT_LEAST_S))
            self._state.release()

    @contextmanager
    def _ignoring_signals(self) -> Iterator[None]:
        """
        A second SIGINT or SIGTERM is only logged; the reactor would raise.
        """

        def tell(*_: object) -> None:
            # The code that the signal interrupts may be writing to the log.
            self._reactor.callFromThread(self._log.info, "stopping already")

        before = {}
        with suppress(ValueError):  # As above.
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, tell)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _daemon(
    spec: ModelSpec, reactor: Any, state: StateFolder, keeper: Keeper
) -> Daemon:
    match spec.service:
        case kinds.ChildSpec() as service:
            more = partial(keeper.arguments, spec)
            return Child(spec, service, reactor, os.environ, state, more)
        case kinds.LaunchdSpec() as service:
            control: Control = Launchctl(service, reactor, os.environ)
        case kinds.SystemdSpec() as service:
            control = Systemctl(service, reactor, os.environ)
        case kinds.CommandSpec() as service:
            control = Commands(spec, service, reactor, os.environ)
        case kinds.RemoteSpec() as service:
            return Remote(spec, service)
    return ExternalDaemon(spec, control, reactor)
