"""
Service: the composition root. Builds the gateway, starts, reloads and stops it.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.application.strports import service as listen_on
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import FileLogObserver, ILogObserver, Logger
from twisted.python.components import Componentized

# Where twistd logs to, it alone decides.
from twisted.scripts._twistd_unix import UnixAppLogger

from swapgate.api.resource import Gateway
from swapgate.config.access import exposed_endpoint
from swapgate.config.daemon_kinds import (
    ChildSpec,
    CommandSpec,
    LaunchdSpec,
    RemoteSpec,
    SystemdSpec,
)
from swapgate.config.endpoints import with_backlog
from swapgate.config.file import load_config
from swapgate.config.ini import ConfigError
from swapgate.config.limits import Limits
from swapgate.config.loader import (
    Config,
)
from swapgate.config.model import ModelSpec
from swapgate.daemons import Daemon
from swapgate.daemons.child import Child
from swapgate.daemons.command import command
from swapgate.daemons.launchd import launchd
from swapgate.daemons.remote import Remote
from swapgate.daemons.systemd import systemd
from swapgate.descriptors import needed, within
from swapgate.fleet.history import LoadTimes
from swapgate.fleet.scheduler import Scheduler
from swapgate.logs import EventLog
from swapgate.net import check_endpoints
from swapgate.server.site import GatewaySite
from swapgate.startup import cannot_listen, missing_engine, one_gateway, welcome
from swapgate.state_folder import StateFolder
from swapgate.upstream.client import UpstreamClient

# So many connections may wait to be accepted, as far as the system allows.
_BACKLOG = 1024


def _check_open_ones(config: Config, in_use: Sequence[str]) -> None:
    """
    Ports stay open until the next start: what guards them must stay with them.
    """
    endpoint = exposed_endpoint(in_use, config.listen, config.access)
    if endpoint is not None:
        raise ConfigError(
            f"{endpoint!r} is open to other machines until the next start; keep "
            "api_keys for as long (and models_need_key = yes), or restart swapgate",
            path=config.path,
            section="swapgate",
            option="listen",
        )


class Swapgate(MultiService):
    """
    The ports and the fleet: no port is open longer than there are daemons behind it.
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
        # What is listened on, until the process ends.
        self._listen = config.listen
        self._state = StateFolder(config.state_dir, reactor)
        self._load_times = LoadTimes(self._state.keep_load_times)
        self._scheduler = Scheduler(
            config,
            lambda spec: _daemon(spec, reactor, self._state),
            reactor,
            lambda daemon: UpstreamClient(daemon.upstream, reactor),
            self._load_times,
        )
        self._gateway = Gateway(config, self._scheduler, reactor, int(time.time()))
        self._site = GatewaySite(
            self._gateway,
            access=config.access,
            limits=self._limits(config),
            reactor=reactor,
        )
        self._ports = [
            listen_on(with_backlog(endpoint, _BACKLOG), self._site, reactor=reactor)
            for endpoint in config.listen
        ]
        for port in self._ports:
            self.addService(port)

    def _limits(self, config: Config) -> Limits:
        """
        What the configuration says, within what there are descriptors for.
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
        # twistd asks its application for a log before it makes one.
        if self._twistd is not None and isinstance(parent, Componentized):
            own = UnixAppLogger(self._twistd)._getLogObserver()
            # Syslog has lines of its own.
            if isinstance(own, FileLogObserver):
                self._event_log = EventLog(self._form(self._config), own)
                parent.setComponent(ILogObserver, self._event_log)

    def _form(self, config: Config) -> str:
        return self._logformat or config.logformat

    def privilegedStartService(self) -> None:
        try:
            self._open()
        except SystemExit as end:
            self._start_failed(str(end))
            raise

    def _start_failed(self, line: str) -> None:
        """
        Tell the one who started us, and leave no pid file: twistd does both for an
        Exception only, with a traceback.
        """
        if self._twistd is None:
            return
        pipe = self._twistd.get("statusPipe")
        if pipe is None:
            # sys.stderr is the log by now, which may be a file.
            print(line, file=sys.__stderr__)
        else:
            # Both are /dev/null: the parent waits, and shows of this 100 bytes.
            os.write(pipe, f"1 {line}".encode("ascii", "backslashreplace")[:100])
            os.close(pipe)
        if pidfile := self._twistd.get("pidfile"):
            Path(pidfile).unlink(missing_ok=True)

    def _open(self) -> None:
        try:
            with one_gateway():
                self._state.take()
        except OSError as error:
            raise SystemExit(f"the state folder cannot be used: {error}") from None
        # As soon as a port is open somebody may think that we run.
        with suppress(ValueError):  # Not the main thread: a test of somebody's.
            signal.signal(
                signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload)
            )
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            raise SystemExit(cannot_listen(error)) from None

    def startService(self) -> None:
        super().startService()
        self._load_times.recall(self._state.load_times())
        self._scheduler.start(self._state.end_orphans())
        # Twisted keeps the open ports to itself; with port 0 they alone know which.
        waits: list[Any] = [port._waitingForPort for port in self._ports]
        gatherResults(waits).addCallback(self._welcome)

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
        Read the configuration again. A wrong one is reported, and changes nothing.
        """
        old = self._config
        try:
            new = load_config(old.path)
            check_endpoints(new, self._reactor)
            _check_open_ones(new, self._listen)
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
            self._event_log.form = self._form(new)
        self._scheduler.reconfigure(new)
        self._log.info("{path} is in effect", path=new.path)

    def stopService(self) -> Deferred[None]:
        """
        Close the ports, end what is under way, stop the daemons, hang up.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        with self._no_more_signals():
            end_s = self._reactor.seconds() + self._config.shutdown_timeout_s
            await super().stopService()
            await self._scheduler.stop()
            await self._site.close(max(end_s - self._reactor.seconds(), 0.0))
            self._state.leave()

    @contextmanager
    def _no_more_signals(self) -> Iterator[None]:
        """
        Who asks us to stop again is told; the reactor would stumble over it.
        """

        def tell(*_: object) -> None:
            # Whatever was interrupted may be writing to the log.
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


def _daemon(spec: ModelSpec, reactor: Any, state: StateFolder) -> Daemon:
    match spec.service:
        case ChildSpec() as service:
            return Child(spec, service, reactor, os.environ, state)
        case LaunchdSpec() as service:
            return launchd(spec, service, reactor, os.environ)
        case SystemdSpec() as service:
            return systemd(spec, service, reactor, os.environ)
        case CommandSpec() as service:
            return command(spec, service, reactor, os.environ)
        case RemoteSpec() as service:
            return Remote(spec, service)
