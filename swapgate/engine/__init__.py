"""
Engine: a llama-server for machines that have none, `python -m swapgate.engine`.

It is llama.cpp's own server, from the Python extension `xllamacpp` (the extra
`engine`), in a process of its own. Reading order: `options` (the options of
llama-server that it takes), `server` (load, serve, end), `__main__`.

All of it lies between a swap and its first token, so it imports next to nothing.
"""


class EngineError(Exception):
    """
    Something that the user has to put right: one line that says how.

    The gateway shows a child's last words to the client that asked for the model.
    """
