"""
Table of all options: where each may stand, how it is read, its default, its meaning.

1. An option exists by its row alone: reading, what messages list, the defaults of the
   frozen classes and the page docs/options.md come from it.
2. An option sets the field of its name, with the unit after it: `load_timeout` sets
   `load_timeout_s`. What sets another field, or several, is read by its name.
"""

from collections.abc import Container
from functools import partial
from typing import Any

from attrs import evolve, fields_dict, frozen

from swapgate.config import value_types as of
from swapgate.config.endpoints import DEFAULT_LISTEN
from swapgate.config.expand import Expander
from swapgate.config.ini import Section, nearest
from swapgate.config.values import alternatives

#: Scopes: where an option may stand. The others are the kinds of daemon.
GENERAL = "[swapgate]"
MODEL = "[model NAME]"
ROUTE = "[route NAME]"
KINDS = ("child", "launchd", "systemd", "command", "remote")

LOG_FORMATS = ("text", "json")


@frozen
class Needed:
    """
    Instead of a default: the option must be there, as in this example.
    """

    example: str


@frozen
class Unset:
    """
    Instead of a default: what holds without the option, in words.
    """

    said: str


@frozen
class Option:
    """
    One row of the table.

    :param default: as it would be written.
    :param scopes: where it may stand.
    """

    type: of.ValueType
    default: str | Needed | Unset
    help: str
    scopes: tuple[str, ...] = ()


OPTIONS: dict[str, Option] = {}


def _add(scopes: tuple[str, ...], **rows: Option) -> None:
    OPTIONS.update({name: evolve(row, scopes=scopes) for name, row in rows.items()})


_add(
    (GENERAL,),
    # Who is let in.
    listen=Option(of.ENDPOINTS, DEFAULT_LISTEN, "where clients connect"),
    hosts=Option(
        of.HOSTS, Unset("none"), "further names of the gateway in Host headers"
    ),
    origins=Option(of.ORIGINS, Unset("none"), "web pages that may ask and read"),
    api_keys=Option(
        of.KEYS, Unset("no key needed"), "keys, one of which each request needs"
    ),
    models_need_key=Option(
        of.SWITCH,
        Unset("yes if a port is public"),
        "whether listing models needs a key",
    ),
    open=Option(of.SWITCH, "no", "whether other machines are let in without a key"),
    # What the gateway does with its models and its requests.
    memory_budget=Option(
        of.SIZE, Unset("one model at a time"), "memory for all models that are up"
    ),
    fair_wait=Option(
        of.DURATION_OR_ZERO, "15 s", "the wait after which other models make room"
    ),
    default_model=Option(
        of.NAME,
        Unset("400, with the names"),
        "the model of requests that name none, where no route matches",
    ),
    max_held=Option(of.COUNT, "4096", "requests that may wait; beyond it 503"),
    shutdown_timeout=Option(
        of.DURATION, "15 s", "for draining and stopping when it is stopped"
    ),
    logformat=Option(of.words(*LOG_FORMATS), "text", "how events are logged"),
    state_dir=Option(
        of.PATH, Unset("the system's folder"), "where the gateway remembers things"
    ),
    snapshot_max=Option(of.SIZE, "8 GB", "disk space for all kept conversations"),
    # What a client may send, and how long it may take.
    header_timeout=Option(
        of.DURATION, "10 s", "from a request's first byte to its headers' end"
    ),
    body_timeout=Option(of.DURATION, "30 s", "for a body, and more as body_rate says"),
    body_rate=Option(
        of.RATE, "16 KiB/s", "so much extends body_timeout and send_timeout by 1 s"
    ),
    keep_alive_timeout=Option(
        of.DURATION, "60 s", "a connection's idle time between requests"
    ),
    send_timeout=Option(
        of.DURATION, "60 s", "for taking an answer, and more as body_rate says"
    ),
    max_body=Option(of.SIZE, "64 MiB", "the largest body of a request"),
    max_bodies=Option(
        of.SIZE, "1 GiB", "all bodies that are read or wait; beyond it 503"
    ),
    max_connections=Option(
        of.COUNT, "8192", "connections, as far as file descriptors allow"
    ),
    max_connections_per_address=Option(
        of.COUNT, Unset("256; on loopback all"), "connections from one address"
    ),
)
_add(
    (GENERAL, MODEL),
    # What may differ by model.
    health_interval=Option(
        of.INTERVAL, "200 ms", "how often a daemon that loads is polled"
    ),
    load_timeout=Option(of.DURATION, "3 min", "how long a load may take"),
    stop_timeout=Option(
        of.DURATION, "10 s", "how long a daemon has to end until it is killed"
    ),
    drain_timeout=Option(
        of.DURATION_OR_NONE, "none", "how long answers may delay an eviction"
    ),
    stall_timeout=Option(
        of.DURATION_OR_NONE,
        "5 min",
        "silence that ends an answer; before its first token only if it is written",
    ),
    idle_unload=Option(
        of.DURATION_OR_NONE, "none", "how long an unused model stays up"
    ),
    linger=Option(
        of.DURATION_OR_ZERO, "500 ms", "how long a model stays after an answer"
    ),
    max_active=Option(
        of.COUNT_OR_NONE, "none", "requests that a model answers at a time"
    ),
    keepalive=Option(
        of.DURATION_OR_ZERO, "5 s", "between comments to held streams; 0 is never"
    ),
    notice=Option(
        of.words("extensions", "reasoning", "none"),
        "extensions",
        "whose held chats are told of their wait as reasoning",
    ),
    extra_paths=Option(of.EXTRA_PATHS, Unset("none"), "further paths that run a model"),
    continuity=Option(
        of.words("auto", "off"),
        "auto",
        "whether conversations are kept on disk while their model is not up",
    ),
    snapshot_delay=Option(
        of.DURATION_OR_ZERO, "2 s", "the quiet after which conversations are saved"
    ),
    snapshot_timeout=Option(
        of.DURATION, "3 s", "how long a swap waits for conversations at most"
    ),
)
_add(
    (MODEL,),
    # What is a model's own.
    service=Option(
        of.words(*KINDS), Needed(alternatives(KINDS)), "what runs the daemon"
    ),
    upstream=Option(
        of.UPSTREAM, Unset("needed, but for a child"), "the daemon's address"
    ),
    aliases=Option(of.NAMES, Unset("none"), "further names that clients may send"),
    memory=Option(
        of.SIZE,
        Unset("all of memory_budget"),
        "what its daemon takes when it is up; not for a remote one",
    ),
    pin=Option(of.SWITCH, "no", "whether it is never evicted"),
    preload=Option(
        of.SWITCH, "no", "whether it is loaded unasked, where there is room"
    ),
)
_add(
    (ROUTE,),
    # Which model a request means that names none.
    header=Option(of.HEADER, Needed("User-Agent"), "the header that is looked at"),
    match=Option(
        of.PATTERN, Needed("Safari"), "a regular expression that is searched for in it"
    ),
    model=Option(of.NAME, Needed("NAME"), "the model that is meant then"),
)
# What belongs to a kind of daemon.
_add(
    ("child", "launchd", "systemd", "command"),
    snapshot_dir=Option(
        of.PATH,
        Unset("a child's is in state_dir"),
        "where conversations are saved, as its own command says",
    ),
)
_add(
    ("launchd", "systemd", "command", "remote"),
    health=Option(
        of.HEALTH_PATH,
        "/health",
        "the path that is polled; none where an open port will do",
    ),
)
_add(
    ("child",),
    command=Option(
        of.COMMAND,
        Needed("llama-server --port ${port} ..."),
        "the program and its arguments",
    ),
)
_add(
    ("child", "command"),
    env=Option(of.VARIABLES, Unset("none"), "variables to pass on or set"),
)
_add(
    ("launchd",),
    plist=Option(of.PATH, Needed("PATH"), "the agent's property list"),
    label=Option(of.SERVICE_NAME, Unset("the plist's own"), "the agent's label"),
    verbs=Option(
        of.words("bootstrap", "load"),
        "bootstrap",
        "launchctl's; load works in a session by SSH, too",
    ),
)
_add(
    ("systemd",),
    unit=Option(of.SERVICE_NAME, Needed("NAME.service"), "the unit's name"),
    scope=Option(of.words("user", "system"), "user", "which systemd is asked"),
)
_add(
    ("command",),
    start=Option(of.COMMAND, Needed("docker start NAME"), "starts the daemon"),
    stop=Option(of.COMMAND, Needed("docker stop NAME"), "stops the daemon"),
    status=Option(of.COMMAND, Unset("its port tells"), "tells whether it is up"),
)
_add(
    ("remote",),
    api_key=Option(of.KEY, Unset("no key is sent"), "the key that the daemon asks for"),
)


def scoped(*scopes: str) -> dict[str, Option]:
    """
    The options that may stand in one of these scopes.
    """
    return {
        n: row for n, row in OPTIONS.items() if not {*scopes}.isdisjoint(row.scopes)
    }


def allow_only(section: Section, *scopes: str) -> None:
    """
    Refuse an option that is not of these scopes, and say where it belongs.
    """
    known = scoped(*scopes)
    for name in section.options:
        if name not in known:
            if name in OPTIONS:
                right = f"it belongs to {_place(OPTIONS[name], scopes)}"
            else:
                right = f"{nearest(name, known)}there are {', '.join(sorted(known))}"
            raise section.error(f"is no option here; {right}", name)


def _place(row: Option, scopes: Container[str]) -> str:
    """
    Where an option belongs that is not of these scopes.
    """
    if ROUTE in row.scopes:
        return ROUTE
    if GENERAL in row.scopes:
        return GENERAL
    if GENERAL in scopes or ROUTE in scopes:
        return MODEL
    return f"service = {alternatives(row.scopes)}"


def default(name: str) -> Any:
    """
    What an option means that is not written; None where it has no default.
    """
    row = OPTIONS[name]
    if not isinstance(row.default, str):
        return None
    return row.type.reading(Expander(folder="/", python="", environ={}), row.default)


def read(section: Section, name: str, expander: Expander) -> Any:
    """
    The option's value, or its default.
    """
    row = OPTIONS[name]
    if name in section.options:
        return section.read(name, partial(row.type.reading, expander))
    if isinstance(row.default, Needed):
        raise section.error(f"needs {name}; write {name} = {row.default.example}")
    return default(name)


def fields(
    section: Section, cls: type[Any], expander: Expander, *scopes: str
) -> dict[str, Any]:
    """
    The fields of `cls` that options of these scopes set here; the others keep their
    defaults, and what is needed must be there.
    """
    found: dict[str, Any] = {}
    for name, row in scoped(*scopes).items():
        field = f"{name}_{row.type.unit}" if row.type.unit else name
        written = name in section.options or isinstance(row.default, Needed)
        if written and field in fields_dict(cls):
            found[field] = read(section, name, expander)
    return found
