"""
Configuration file: found, and read from disk with the key files that it names.

With `secrets` the only module of `config` that does I/O.
"""

import os
import sys
from pathlib import Path

from swapgate.config.ini import ConfigError
from swapgate.config.loader import Config, candidates, read_config
from swapgate.config.secrets import read_keys


def load_config(given: str | None) -> Config:
    """
    The configuration of this file, or of the first one that there is.

    :raises ConfigError: for a mistake in it.
    :raises SystemExit: where there is none.
    """
    tried = [given] if given else candidates(os.environ, sys.platform)
    for name in tried:
        path = Path(name).expanduser().absolute()
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            raise ConfigError("is not UTF-8; save it as that", path=str(path)) from None
        except OSError as error:
            problem = f"cannot be read ({error.strerror}); name a file that can"
            raise ConfigError(problem, path=str(path)) from None
        config = read_config(
            text,
            path=str(path),
            environ=os.environ,
            python=sys.executable,
            platform=sys.platform,
        )
        return read_keys(config)
    where = ", ".join(map(str, tried))
    raise SystemExit(
        f"no configuration file at {where}; write one, or name it with --config"
    )
