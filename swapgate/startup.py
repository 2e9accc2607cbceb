"""
Start-up messages: what is served and where, or why it cannot be, each in one line.

What is said must be true of every kind of endpoint: of several, of a UNIX socket, of
port 0, of one that is open to other machines.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress

from swapgate.config.daemon_kinds import (
    ChildSpec,
    RemoteSpec,
)
from swapgate.config.loader import (
    Config,
)
from swapgate.config.model import ONE_AT_A_TIME
from swapgate.config.values import gigabytes
from swapgate.daemons import processes
from swapgate.state_folder import FolderTaken

# More would not be read.
_MOST_NAMES = 12
# Every address of the machine, and the one of these that it calls itself by.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def welcome(config: Config, addresses: Sequence[IAddress]) -> str:
    """
    Address, models, budget, and what to do next.

    :param addresses: of the open ports, one for each of `config.listen`.
    """
    opened = list(zip(config.listen, addresses, strict=True))
    where = " and ".join(_where(*each) for each in opened)
    roots = [root for each in opened if (root := _root(*each))]
    state = f"{roots[0]}/swapgate/state" if roots else "/swapgate/state there"
    key = " with a key" if config.access.keyed else ""
    verb = "serves" if len(opened) == 1 else "serve"
    return (
        f"{where} {verb} {_names(config)}{_budget(config)};"
        f" point a client there{key}, or look at {state}"
    )


def _names(config: Config) -> str:
    return _listed([model.name for model in config.models])


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _budget(config: Config) -> str:
    """
    What may be up together; remote models take no memory of it.
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
    # Some plugin's: it alone knows how it is reached.
    return endpoint


def missing_engine(
    config: Config, python: str, *, installed: bool, on_path: bool
) -> str | None:
    """
    Which models our own engine shall run while its package is missing, and the remedy.

    :param python: ours; what another one has installed is not known.
    :param installed: whether it is there.
    :param on_path: whether there is a llama-server, which will do for the demo.
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
        # A UNIX socket's folder, which is looked at before the socket is; a number that
        # is no port, a name that is no host.
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
def one_gateway() -> Iterator[None]:
    """
    End with one line where another gateway has the state folder.
    """
    try:
        yield
    except FolderTaken as taken:
        raise SystemExit(
            f"swapgate runs already: {taken}; use that one, stop it, or give this one "
            "another state_dir and another listen"
        ) from None
