"""
Server: one model behind llama.cpp's HTTP server, in this process, until SIGTERM.

1. The port is open, and answers 503, while the model loads.
2. SIGTERM and SIGINT end the process at once with status 0, loading or not.
3. Whatever is said goes to stderr; stdout stays silent.
4. What can be seen to be wrong before the load is one line: a file, the port.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from errno import EADDRINUSE
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from swapgate.engine import EngineError
from swapgate.engine.options import Member, Settings, parse

PACKAGE = "xllamacpp"
INSTALL = f"{sys.executable} -m pip install 'swapgate[engine]'"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MAGIC = b"GGUF"


def run(arguments: Sequence[str]) -> NoReturn:
    """
    Load and serve what the command line says; an `EngineError` if that cannot be.
    """
    end_while_loading(ctypes.CDLL(None))
    settings = parse(arguments)
    check_model(settings, "model.path", "-m")
    check_model(settings, "mmproj.path", "--mmproj")
    read_template(settings)
    check_slot_folder(settings)
    check_port(settings)
    # The libraries beneath may print; a pipe behind stdout may have no reader.
    os.dup2(2, 1)
    xllamacpp = load_package()
    # It serves in threads of its own for as long as it is referred to.
    _server = load_model(xllamacpp, settings)
    # A signal that comes just before a pause(), or to another thread, would not end it.
    wakeup, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
    os.read(wakeup, 1)
    os._exit(0)


def check_model(settings: Settings, field: str, option: str) -> None:
    """
    A file that is there, can be read and begins as a GGUF file does.
    """
    if field not in settings:
        return
    path = str(settings[field])
    try:
        with Path(path).open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise EngineError(
            f"cannot read {path}: {error.strerror}; name a GGUF file with {option}"
        ) from error
    if magic != _MAGIC:
        raise EngineError(f"{path} is no GGUF file; name one with {option}")


def read_template(settings: Settings) -> None:
    """
    Put the template itself in the place of its file's name.
    """
    if "chat_template" not in settings:
        return
    path = str(settings["chat_template"])
    try:
        settings["chat_template"] = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise EngineError(
            f"cannot read {path}: {reason}; name a template with --chat-template-file"
        ) from error


def check_slot_folder(settings: Settings) -> None:
    """
    A folder, written with a slash at its end: the engine appends the file's name.
    """
    if "slot_save_path" not in settings:
        return
    path = str(settings["slot_save_path"])
    if not Path(path).is_dir():
        raise EngineError(f"--slot-save-path {path}: no such folder; make it first")
    settings["slot_save_path"] = path.removesuffix(os.sep) + os.sep


def check_port(settings: Settings) -> None:
    """
    An address that can be listened on, as far as a look tells.
    """
    hosts: Any = settings.get("hostnames", ("127.0.0.1",))
    for host in hosts:
        # To llama-server that is the path of a UNIX socket.
        if not host.endswith(".sock"):
            _check_address(host, settings["port"])


def _check_address(host: str, port: object) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, str(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # What a connection has left behind, waiting for its time, is in no way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == EADDRINUSE:
            raise EngineError(
                f"port {port} of {host} is in use;"
                " stop the process that has it, or choose another with --port"
            ) from error
        raise EngineError(
            f"cannot listen on port {port} of {host}: {error.strerror};"
            " choose others with --host and --port"
        ) from error


def end_while_loading(libc: Any) -> None:
    """
    Let a signal end the process with status 0 while Python cannot run.

    xllamacpp keeps the interpreter's lock until the model is up, so a handler in Python
    would come too late. A function of the C library can be the handler: quick_exit,
    which is given the signal's number, calls what is registered for it, and the first
    of these is _exit, with nothing, which is 0. Where the C library has none of this
    (macOS, musl) the signal ends the process as it does any, while it loads.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    try:
        register, quick_exit = libc.__cxa_at_quick_exit, libc.quick_exit
    except AttributeError:
        return
    pointer = ctypes.c_void_p
    register(ctypes.cast(libc._exit, pointer), None)
    for number in _SIGNALS:
        libc.signal(int(number), ctypes.cast(quick_exit, pointer))


def load_package(package: str = PACKAGE) -> Any:
    """
    The extension, or one line that says how to get it.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise EngineError(
            f"{error.name} is not installed; install it with: {INSTALL}"
        ) from error
    except ImportError as error:
        # The one library of the system that it is linked against and some lack.
        remedy = " (on Debian: apt-get install libgomp1)" * ("gomp" in str(error))
        raise EngineError(f"install what {package} lacks: {error}{remedy}") from error


def load_model(xllamacpp: Any, settings: Settings) -> Any:
    """
    The server, listening and loaded.

    llama.cpp's words on a failure are on stderr; as its log has a thread of its own,
    some may come after ours.
    """
    try:
        return xllamacpp.Server(parameters(xllamacpp, settings))
    except RuntimeError as error:
        raise EngineError(
            f"cannot load {settings['model.path']}; what llama.cpp says here says why"
        ) from error


def parameters(xllamacpp: Any, settings: Settings) -> Any:
    """
    xllamacpp's parameters with these settings.
    """
    params = xllamacpp.CommonParams()
    for field, value in settings.items():
        *path, name = field.split(".")
        if isinstance(value, Member):
            plain: object = reduce(getattr, value, xllamacpp)
        else:
            plain = list(value) if isinstance(value, tuple) else value
        setattr(reduce(getattr, path, params), name, plain)
    return params
