"""
Answers: what an engine says at its end of how much it has read, and had kept. Pure.
"""

import re
from typing import Final

from attrs import frozen


def _number(*names: str) -> re.Pattern[bytes]:
    # In a text that the model has written the quotes are escaped.
    either = "|".join(names)
    return re.compile(rf'(?<!\\)"(?:{either})"\s*:\s*([0-9.]{{1,20}})'.encode())


_CACHE_N: Final = _number("cache_n")
_PROMPT_N: Final = _number("prompt_n")
_PROMPT_MS: Final = _number("prompt_ms")
_PREDICTED_N: Final = _number("predicted_n")
# Without llama-server's timings: what OpenAI's and Anthropic's APIs say.
_CACHED: Final = _number("cached_tokens", "cache_read_input_tokens")
_PROMPT: Final = _number("prompt_tokens", "input_tokens")
_OUTPUT: Final = _number("completion_tokens", "output_tokens")


@frozen
class Counts:
    """
    Tokens of one answer; None is unknown.

    :param prompt: all of the prompt's.
    :param cached: those of them that had not to be read again.
    :param output: those that were generated.
    :param speed: of reading, in tokens a second.
    """

    prompt: int | None = None
    cached: int | None = None
    output: int | None = None
    speed: float | None = None

    @property
    def in_slot(self) -> int | None:
        """
        How many tokens the answer has left in its slot.
        """
        if self.prompt is None or self.output is None:
            return None
        # The last one that was generated was not put back in.
        return self.prompt + max(self.output - 1, 0)


# So many tokens must be read for it to be a measurement.
_MEASURED: Final = 64


def counts_of(tail: bytes) -> Counts:
    """
    What the end of an answer says.
    """
    cached, read = _last(_CACHE_N, tail), _last(_PROMPT_N, tail)
    if cached is not None and read is not None:
        took_ms, output = _last(_PROMPT_MS, tail), _last(_PREDICTED_N, tail)
        measured = took_ms and read >= _MEASURED
        return Counts(
            prompt=int(cached + read),
            cached=int(cached),
            output=None if output is None else int(output),
            speed=1000 * read / took_ms if took_ms and measured else None,
        )
    found = (_last(pattern, tail) for pattern in (_PROMPT, _CACHED, _OUTPUT))
    return Counts(*(None if each is None else int(each) for each in found))


def _last(pattern: re.Pattern[bytes], tail: bytes) -> float | None:
    found = pattern.findall(tail)
    try:
        return float(found[-1]) if found else None
    except ValueError:
        return None


def helped(counts: Counts, expected: int) -> bool | None:
    """
    Whether what was restored was of use; None where the answer does not tell.

    :param expected: how many tokens of the prompt were restored.
    """
    if counts.cached is None:
        return None
    return 2 * counts.cached >= expected
