"""
The demo's daemons: a real llama-server with a tiny real model, in three manners.

`python -m swapgate.demo --persona general ...` becomes the engine, by exec. Reading
order: `engine.py` (which llama-server?), `weights.py` (where is the model?),
`__main__.py` (the command line that makes them one of three personas).

All of it lies between a swap and its first token, so it imports next to nothing.
"""


class DemoError(Exception):
    """
    Something that the user has to put right: one line that says how.

    The gateway shows a child's last words to whoever asked for the model.
    """
