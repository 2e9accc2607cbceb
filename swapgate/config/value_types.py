"""
Types of values: what may be written, how it is read, the unit of what is read.
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from swapgate.config import values
from swapgate.config.endpoints import listen
from swapgate.config.expand import Expander
from swapgate.config.hosts import hosts, origins
from swapgate.config.keys import api_keys, key_reference
from swapgate.config.patterns import header_name, searched_pattern
from swapgate.config.url_paths import extra_paths, health_path


@frozen
class ValueType:
    """
    What may be written as the value of an option.

    :param said: as the page of options calls it.
    :param unit: of what is read, as the names of fields end.
    """

    said: str
    reading: Callable[[Expander, str], Any]
    unit: str = ""


def _expanded(said: str, reading: Callable[[str], Any], unit: str = "") -> ValueType:
    """
    A value that is read once its variables are substituted.
    """
    return ValueType(said, lambda expander, text: reading(expander.expand(text)), unit)


def words(*choice: str) -> ValueType:
    """
    One of these words.
    """
    return _expanded(values.alternatives(choice), values.one_of(*choice))


COUNT = _expanded("number", values.count)
COUNT_OR_NONE = _expanded("number or none", values.or_none(values.count))
DURATION = _expanded("duration", values.duration, "s")
DURATION_OR_NONE = _expanded("duration or none", values.or_none(values.duration), "s")
DURATION_OR_ZERO = _expanded("duration or 0", values.duration_or_zero, "s")
INTERVAL = _expanded("duration, 10 ms to 60 s", values.interval, "s")
SIZE = _expanded("size", values.size, "bytes")
RATE = _expanded("rate", values.rate)
SWITCH = _expanded("yes or no", values.switch)
UPSTREAM = _expanded("http://HOST:PORT", values.upstream)
SERVICE_NAME = _expanded("name", values.service_name)
# An alias may hold a dollar.
NAMES = ValueType("names, several", lambda _, text: values.names(text))
NAME = ValueType("name or alias", lambda _, text: values.name(text))
HEADER = _expanded("header's name", header_name)
# A $ is the end of the value.
PATTERN = ValueType("regular expression", lambda _, text: searched_pattern(text))

PATH = ValueType("path", Expander.path)
COMMAND = ValueType("command", Expander.command)
VARIABLES = ValueType("NAME or NAME=VALUE, several", Expander.variables)

ENDPOINTS = _expanded("Twisted endpoints, one a line", listen)
HOSTS = _expanded("NAME or NAME:PORT, several", hosts)
ORIGINS = _expanded("origins, several", origins)
KEY = ValueType("${NAME} or file:PATH", key_reference)
KEYS = ValueType("${NAME} or file:PATH, several", api_keys)
HEALTH_PATH = _expanded("path or none", health_path)
EXTRA_PATHS = _expanded("paths, several", extra_paths)
