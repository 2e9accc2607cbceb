"""
Refusal: the error response to what cannot become a request, written by the connection.

The connection closes after it (RFC 9112, 9.6): by FIN, while what the client still
sends is read and dropped for LINGER_S, because a reset could overtake the response.
"""

from http import HTTPStatus

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

from swapgate.errors import APIError

LINGER_S = 2.0


def response(
    error: APIError, body: bytes, headers: tuple[tuple[str, str], ...]
) -> bytes:
    """
    The whole response, without help of Twisted: there may be no request for it.

    :param headers: besides those of the error.
    """
    status = HTTPStatus(error.status)
    head = [
        f"HTTP/1.1 {status:d} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in error.response_headers + headers),
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def can_half_close(transport: object) -> bool:
    """
    Whether one direction of it can be closed. Not under TLS: what was written before
    would not be sent.
    """
    return ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(
        transport
    )
