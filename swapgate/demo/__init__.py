"""
Demo: daemons for `etc/demo.cfg`, a real engine with a tiny real model in three manners.

`python -m swapgate.demo --persona general ...` is a use of `swapgate.engine`, in this
process; a `llama-server` on PATH is run, by exec, only where the extra is missing.
Reading order: `weights` (the model's file in the cache), `__main__` (chooses between
the two, and makes them one of three personas).

All of it lies between a swap and its first token, so it imports next to nothing.
"""

import sys

INSTALL = f"{sys.executable} -m pip install 'swapgate[demo]'"


class DemoError(Exception):
    """
    Something that the user has to put right: one line that says how.

    The gateway shows a child's last words to the client that asked for the model.
    """
