"""
Start-up messages: what is served and where, or why it cannot be, each in one line.

They must be true for every kind of endpoint: for several, a UNIX socket, port 0, one
that is open to other machines.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress

from swapgate.config.daemon_kinds import ChildSpec, RemoteSpec
from swapgate.config.loader import Config
from swapgate.config.model import ONE_AT_A_TIME
from swapgate.config.values import gigabytes
from swapgate.daemons import processes
from swapgate.state_folder import FolderTaken

# How many models are named.
_MOST_NAMES = 12
# The wildcard addresses, and the loopback address by which each can be reached.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def welcome(config: Config, addresses: Sequence[IAddress]) -> str:
    """
    Address, models, budget, and what to do next.

    :param addresses: of the open ports, one for each of `config.listen`.
    """
    opened = list(zip(config.listen, addresses, strict=True))
    where = " and ".join(_where(*each) for each in opened)
    roots = [root for each in opened if (root := _root(*each))]
    # A browser reaches no UNIX socket.
    look = (
        f"open {roots[0]}/ in a browser" if roots else "look at /swapgate/state there"
    )
    key = " with a key" if config.access.keyed else ""
    names = [model.name for model in config.models]
    verb = "serves" if len(opened) == 1 else "serve"
    return (
        f"{where} {verb} {_listed(names)}{_budget(config)};"
        f" point a client there{key}, or {look}"
    )


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _budget(config: Config) -> str:
    """
    How many models may be up together; remote ones do not count.
    """
    own = sum(not isinstance(each.service, RemoteSpec) for each in config.models)
    if own == 0:
        return ""
    if config.budget_bytes != ONE_AT_A_TIME:
        return f" within {gigabytes(config.budget_bytes)} of memory"
    remote = " (remote ones always)" if own < len(config.models) else ""
    return f" one at a time{remote}" if own > 1 else ""


def _root(endpoint: str, address: IAddress) -> str | None:
    """
    The URL of a port's root, as a program of this machine reaches it.
    """
    if not isinstance(address, IPv4Address | IPv6Address):
        return None
    scheme = "https" if endpoint.startswith("ssl:") else "http"
    host = _ANY.get(address.host, address.host)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{address.port}"


def _where(endpoint: str, address: IAddress) -> str:
    root = _root(endpoint, address)
    if root is not None:
        assert isinstance(address, IPv4Address | IPv6Address)
        others = " (and this machine's other addresses)" * (address.host in _ANY)
        return f"{root}/v1{others}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        name = address.name
        path = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        return f"the socket {path}"
    # A plugin's: only the plugin knows how it is reached.
    return endpoint


def missing_engine(
    config: Config, python: str, *, installed: bool, on_path: bool
) -> str | None:
    """
    Which models need swapgate's engine while its package is missing, and the remedy.

    :param python: our interpreter; what another one has installed is not known.
    :param installed: whether the engine's package is.
    :param on_path: whether there is a llama-server, which the demo can use instead.
    """
    modules = {"swapgate.engine"} if on_path else {"swapgate.engine", "swapgate.demo"}
    names = [
        model.name
        for model in config.models
        if isinstance(model.service, ChildSpec)
        and model.service.command.words[:2] == (python, "-m")
        and modules.intersection(model.service.command.words[2:3])
    ]
    if installed or not names:
        return None
    return (
        f"no engine is installed for {_listed(names)};"
        f" install one with: {python} -m pip install 'swapgate[engine]'"
    )


def cannot_listen(error: Exception) -> str:
    """
    Why a port cannot be opened, and what to do about it.
    """
    if not isinstance(error, CannotListenError):
        # About a UNIX socket's folder, which Twisted checks before the socket; a number
        # that is no port, a name that is no host.
        return f"cannot listen: {error}; make that possible, or change listen"
    reason = error.socketError
    number = getattr(reason, "errno", None)
    if isinstance(error.port, bytes | str):
        path = error.port
        shown = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
        return (
            f"cannot listen on the socket {shown}: {reason};"
            " stop the gateway that has it, or change listen"
        )
    where = f"cannot listen on {error.interface or 'any address'}, port {error.port}"
    if number == EADDRINUSE:
        return (
            f"{where}: it is in use ({processes.who_listens(error.port)});"
            " stop that process, or change listen"
        )
    if number == EACCES:
        return f"{where}: it takes privileges; change listen to a port above 1023"
    if number == EADDRNOTAVAIL:
        return f"{where}: this machine has no such address; change listen"
    return f"{where}: {reason}; change listen"


@contextmanager
def exit_if_unusable() -> Iterator[None]:
    """
    Exit with one line if the state folder cannot be used, or another gateway has it.
    """
    try:
        yield
    except FolderTaken as taken:
        raise SystemExit(
            f"swapgate runs already: {taken}; use that one, stop it, or give this one "
            "another state_dir and another listen"
        ) from None
    except OSError as error:
        raise SystemExit(f"the state folder cannot be used: {error}") from None


def report_failure(line: str, twistd: Mapping[str, Any] | None) -> None:
    """
    Show why the start fails on the terminal, and remove the pid file: for a SystemExit
    twistd does neither.

    :param twistd: its options; None where it is not twistd that starts us.
    """
    if twistd is None:
        return
    # The parent ends as soon as it is told.
    if pidfile := twistd.get("pidfile"):
        Path(pidfile).unlink(missing_ok=True)
    # By which a daemonised twistd tells its waiting parent; there is no public way, and
    # tests.end_to_end.test_start fails without it.
    pipe = twistd.get("statusPipe")
    if pipe is None:
        # sys.stderr is the log by now.
        print(line, file=sys.__stderr__)
    else:
        # The parent shows 100 bytes of it.
        os.write(pipe, f"1 {line}".encode("ascii", "backslashreplace")[:100])
        os.close(pipe)
