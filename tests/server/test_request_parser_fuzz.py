"""
Request parser against h11: of what both accept, both read the same requests.
"""

import random

import h11
from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from swapgate.errors import APIError
from swapgate.server.request_parser import RequestHead, RequestParser

CASES = 20_000
SEED = 11430
HEAD = b"Host: x\r\nContent-Type: application/json\r\n"
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /v1/models?a=b HTTP/1.1\r\nhost:x\r\nAccept: a, b\r\nX-A:\t b \r\n\r\n",
    b"POST /a HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\n\r\n{\r\n}\n",
    b"POST /b HTTP/1.1\r\n" + HEAD + b"Content-Length: 0\r\n\r\n",
    b"POST /c HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    b"POST /d HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: Chunked\r\n\r\n"
    b"1\r\n\n\r\n0\r\nX-Trailer: 1\r\n\r\n",
    b"PUT /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
    b"GET /f HTTP/1.0\r\n\r\n",
    b"GET /g HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
)
SPLICES = (
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\x00",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b":",
    b",",
    b";",
    b"0",
    b"1",
    b"-",
    b"+",
    b"0x",
    b"\r\n ",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Host: y\r\n",
    b"HTTP/1.0",
    b"HTTP/9.9",
    b"chunked, ",
)


@define
class Read:
    """
    One request as it was read.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    complete: bool = False


@define
class Reading:
    requests: list[Read] = field(factory=list)
    refused: bool = False


def normal(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """
    As h11 has it.
    """
    name, value = header[0].lower(), header[1]
    return name, value.lower() if name == b"transfer-encoding" else value


def ours(pieces: list[bytes]) -> Reading:
    parser, reading = RequestParser(), Reading()
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, RequestHead):
                headers = list(map(normal, event.headers))
                reading.requests.append(Read(event.method, event.target, headers))
            elif event is None:
                reading.requests[-1].complete = True
            elif isinstance(event, APIError):
                reading.refused = True
            else:
                reading.requests[-1].body += event
    return reading


def theirs(data: bytes) -> Reading:
    """
    The same by h11, which answers each request to get to the next.
    """
    connection, reading = h11.Connection(h11.SERVER), Reading()
    connection.receive_data(data)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            reading.refused = True
            return reading
        if isinstance(event, h11.Request):
            headers = [each for each in event.headers if each[0] != b"content-length"]
            found = Read(event.method, event.target, headers)
            reading.requests.append(found)
        elif isinstance(event, h11.Data):
            reading.requests[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            reading.requests[-1].complete = True
            answer = h11.Response(status_code=200, headers=[("Content-Length", "0")])
            connection.send(answer)
            connection.send(h11.EndOfMessage())
        elif connection.our_state is h11.DONE and connection.their_state is h11.DONE:
            connection.start_next_cycle()
        else:
            return reading


def mutated(chance: random.Random) -> bytes:
    data = bytearray(b"".join(chance.choices(REQUESTS, k=chance.randint(1, 3))))
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(SPLICES)
            case 1:
                del data[at : at + chance.randint(1, 4)]
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                data[at : at + chance.randint(1, 8)] = chance.choice(SPLICES)
    return bytes(data)


def split(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randint(0, 3)))
    return [
        data[begin:end] for begin, end in zip([0, *cuts], [*cuts, None], strict=True)
    ]


class FuzzTests(SynchronousTestCase):
    """
    The same seed each time: what fails once fails again.
    """

    def test_against_h11(self) -> None:
        """
        No exception, never two readings, and not by refusing all.
        """
        chance = random.Random(SEED)
        both = 0
        for case in range(CASES):
            data = mutated(chance)
            mine, other = ours(split(data, chance)), theirs(data)
            compared = list(zip(mine.requests, other.requests, strict=False))
            for read, wanted in compared:
                both += 1
                if read.complete and wanted.complete:
                    self.assertEqual(read, wanted, (case, data))
                else:
                    self.assertEqual(read.target, wanted.target, (case, data))
                    self.assertEqual(read.headers, wanted.headers, (case, data))
        self.assertGreater(both, CASES // 2)

    def test_splits(self) -> None:
        """
        It does not matter in which pieces the bytes come.
        """
        chance = random.Random(SEED)
        for case in range(CASES // 20):
            data = mutated(chance)
            whole = ours([data])
            bytewise = ours([data[at : at + 1] for at in range(len(data))])
            self.assertEqual(bytewise, whole, (case, data))
