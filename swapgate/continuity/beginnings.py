"""
Beginnings: how much of their beginnings two prompts have in common, by digests. Pure.

1. What is compared are the bytes of the prompt as its client wrote them: a conversation
   that goes on repeats what was said before.
2. Clients with different API keys have nothing in common.
3. Nothing of a prompt can be read off its digests but whether another one is the same.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from attrs import frozen
from msgspec import Raw, Struct

#: A body that is longer than this has no beginning: to read it would take too long.
MOST_BYTES: Final = 4 * 2**20
_DIGEST: Final = 8
# The ends of blocks: fine at first, as many prompts begin alike and are short.
_FINE, _FINE_BLOCKS, _COARSE = 64, 64, 1024
_FINE_BYTES: Final = _FINE * _FINE_BLOCKS


class _Prompt(Struct):
    """
    What an engine makes a prompt of, in the APIs that it has; in the prompt's order.
    """

    system: Raw = Raw()
    instructions: Raw = Raw()
    tools: Raw = Raw()
    prompt: Raw = Raw()
    input_prefix: Raw = Raw()
    input: Raw = Raw()
    messages: Raw = Raw()


_decode: Final = msgspec.json.Decoder(_Prompt).decode


@frozen
class Beginning:
    """
    A prompt's digests, one at the end of each block of it.

    :param digests: each is over all that came before, so that where two prompts have
        the same one all before it was the same.
    """

    digests: bytes = b""

    def __len__(self) -> int:
        """
        How many bytes of the prompt it covers.
        """
        return _end(len(self.digests) // _DIGEST)

    def common(self, other: "Beginning") -> int:
        """
        How many bytes the two prompts have in common at their beginnings, at least.
        """
        blocks = min(len(self.digests), len(other.digests)) // _DIGEST
        return _end(
            bisect_left(range(blocks), True, key=lambda i: self._at(i) != other._at(i))
        )

    def begins_like(self, digests: bytes) -> bool:
        """
        Whether it has anything in common with what has these digests; a quick look.
        """
        return self.digests[:_DIGEST] == digests[:_DIGEST] != b""

    def goes_on_in(self, other: "Beginning") -> bool:
        """
        Whether the other prompt repeats all of this one, or next to all of it.

        Some clients mark their last message, and take the mark away with the next.
        """
        return 10 * self.common(other) >= 9 * len(self) > 0

    def _at(self, block: int) -> bytes:
        return self.digests[block * _DIGEST : (block + 1) * _DIGEST]


NOTHING: Final = Beginning()


def beginning_of(pieces: Sequence[bytes | bytearray], client: str) -> Beginning:
    """
    That of the prompt in a request's body.

    :param pieces: the body, which was found to be JSON, with an object.
    :param client: the name of the API key that was sent.
    """
    if sum(map(len, pieces)) > MOST_BYTES:
        return NOTHING
    try:
        found = _decode(b"".join(pieces))
    except msgspec.MsgspecError:
        return NOTHING
    digest = blake2b(digest_size=_DIGEST, person=b"swapgate", key=_key_of(client))
    digests = []
    prompt = b"".join(bytes(getattr(found, name)) for name in _Prompt.__struct_fields__)
    for start, end in _blocks(len(prompt)):
        digest.update(prompt[start:end])
        digests.append(digest.copy().digest())
    return Beginning(b"".join(digests))


def _key_of(client: str) -> bytes:
    return blake2b(client.encode(), digest_size=32).digest()


def _end(blocks: int) -> int:
    """
    Where the last one of so many blocks ends.
    """
    if blocks <= _FINE_BLOCKS:
        return blocks * _FINE
    return _FINE_BYTES + (blocks - _FINE_BLOCKS) * _COARSE


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """
    Where the whole blocks of so many bytes begin and end.
    """
    blocks, start = 1, 0
    while (end := _end(blocks)) <= length:
        yield start, end
        blocks, start = blocks + 1, end
