"""
Entry point of the engine: `python -m swapgate.engine -m FILE --port PORT [options]`.
"""

import sys

from swapgate.engine import EngineError
from swapgate.engine.server import run

if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except EngineError as error:
        sys.exit(f"swapgate engine: {error}")
