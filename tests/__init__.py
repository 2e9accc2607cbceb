"""
Tests of swapgate, run by trial, with a home folder of their own.
"""

import os
from tempfile import TemporaryDirectory

from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("swapgate", deadline=None)
settings.load_profile("swapgate")

# Whoever runs the tests may run a gateway, too: no test, and no process that inherits
# this environment, finds its configuration, its state folder or its children.
_HOME = TemporaryDirectory(prefix="swapgate-tests-")
os.environ["HOME"] = _HOME.name
for _name in ("SWAPGATE_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
    os.environ.pop(_name, None)
