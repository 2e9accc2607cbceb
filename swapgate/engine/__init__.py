"""
Engine: `python -m swapgate.engine`, a llama-server for machines that have none.

It is llama.cpp's own server, from the Python extension `xllamacpp` (the extra
`engine`), in a process of its own. Reading order: `options` (llama-server's options, as
far as they are taken), `server` (load, serve, end), `__main__`.

All of it lies between a swap and its first token, so it imports next to nothing.
"""


class EngineError(Exception):
    """
    Something that the user has to put right: one line that says how.

    The gateway shows a child's last words to the client that asked for the model.
    """
