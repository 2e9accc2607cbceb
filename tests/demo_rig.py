"""
What the tests of the demo's children share: folders, programs, a tiny model.
"""

import ctypes
import hashlib
import signal
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.demo import DemoError

MODEL = b"GGUF and two hundred and fifty million bytes more"
MODEL_SHA256 = hashlib.sha256(MODEL).hexdigest()


def folder_of(case: SynchronousTestCase) -> Path:
    folder = Path(case.mktemp()).absolute()
    folder.mkdir(parents=True)
    return folder


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def one_line(case: SynchronousTestCase, error: DemoError) -> str:
    """
    The error's text, which must stand in one line to be a child's last words.
    """
    text = str(error)
    case.assertEqual(len(text.splitlines()), 1)
    return text


def ended_while_loading(number: signal.Signals) -> int:
    """
    How an engine ends that gets this signal during its load.
    """
    known = hasattr(ctypes.CDLL(None), "__cxa_at_quick_exit")
    return 0 if known else -number
