"""
Expander: substitutes ${dir}, ${python}, ${NAME} and ~ in values, commands and paths.

1. What is substituted is not read again: it may hold dollars, spaces and quotes.
2. A variable that is not set is an error, but for the names in `env`.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from attrs import frozen

from swapgate.config.ini import BadValue

_DOLLAR = re.compile(r"\$(?:(\$)|\{([^}]*)\})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def substitute(text: str, look_up: Callable[[str], str], *, dollar: str = "$") -> str:
    """
    `text` with each ${name} looked up, and `dollar` for each $$.
    """

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return dollar
        if found[2] is None:
            raise BadValue("a $ stands alone; write ${NAME}, or $$ for a dollar")
        return look_up(found[2])

    return _DOLLAR.sub(one, text)


@frozen(kw_only=True)
class Command:
    """
    A command, split; only ${port} and $$ are left to substitute.
    """

    words: tuple[str, ...]

    def argv(self, port: int) -> tuple[str, ...]:
        """
        The program and its arguments for a daemon on `port`.
        """
        known = {"port": str(port)}
        return tuple(substitute(word, known.__getitem__) for word in self.words)

    @property
    def tells_port(self) -> bool:
        """
        Whether the port stands among the arguments.
        """
        return self.argv(1) != self.argv(2)


@frozen(kw_only=True)
class Expander:
    """
    What values may refer to.

    :param folder: ${dir}, the configuration's folder, from which paths are seen.
    :param python: ${python}, the path of the interpreter.
    :param port: ${port} in a command, where it is known before the launch.
    """

    folder: str
    python: str
    environ: Mapping[str, str]
    port: int | None = None

    def expand(self, text: str) -> str:
        """
        `text` with everything substituted.
        """
        return substitute(text, self._look_up)

    def path(self, text: str) -> str:
        """
        A path, absolute: the home folder for ~, else seen from the config's folder.
        """
        if text.startswith("~") and text != "~" and not text.startswith("~/"):
            raise BadValue(f"{text!r} is another user's home; write the whole path")
        if "\n" in text:
            raise BadValue(f"{text!r} is not one path; write it in one line")
        return str(PurePosixPath(self.folder) / self.expand(_tilde(text)))

    def command(self, text: str) -> Command:
        """
        Words as a shell would split them, each substituted afterwards.

        Where the port is not known yet, ${port} stays for the launch.
        """

        def look_up(name: str) -> str:
            if name != "port":
                return self._look_up(name).replace("$", "$$")
            return "${port}" if self.port is None else str(self.port)

        words = [
            substitute(_tilde(word), look_up, dollar="$$") for word in _split(text)
        ]
        if not words or not words[0]:
            raise BadValue("names no program; write a program and its arguments")
        if "/" in words[0]:
            folder = self.folder.replace("$", "$$")
            words[0] = str(PurePosixPath(folder) / words[0])
        return Command(words=tuple(words))

    def variables(self, text: str) -> tuple[tuple[str, str], ...]:
        """
        Environment variables for a child: NAME passes ours on, NAME=value sets it.

        A NAME that is not set is passed over: HF_HOME may be set on one machine and
        not on the next.
        """
        found: dict[str, str | None] = {}
        for entry in _split(text, separators=",\n"):
            name, equals, value = entry.strip().partition("=")
            if not _VARIABLE.fullmatch(name):
                raise BadValue(
                    f"{name!r} is no variable's name; write NAME or NAME=value, "
                    "and quotes around a value with a comma"
                )
            if name in found:
                raise BadValue(f"{name} stands here twice; keep one of the two")
            own = self.environ.get(name)
            found[name] = self.expand(_tilde(value)) if equals else own
        return tuple((name, it) for name, it in found.items() if it is not None)

    def _look_up(self, name: str) -> str:
        if name == "port":
            raise BadValue("${port} is known to command only; write the number")
        try:
            return {**self.environ, "dir": self.folder, "python": self.python}[name]
        except KeyError:
            raise BadValue(
                f"${{{name}}} is not set in the environment; "
                "set it, or write $$ for a dollar"
            ) from None


def _tilde(text: str) -> str:
    """
    A leading ~ as the variable that it stands for.
    """
    return "${HOME}" + text[1:] if text == "~" or text.startswith("~/") else text


def _split(text: str, separators: str | None = None) -> list[str]:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if separators is not None:
        lexer.whitespace = separators
    try:
        return list(lexer)
    except ValueError as error:
        problem = str(error).lower()
        raise BadValue(f"{problem}; close each quote, or escape it with \\") from None
