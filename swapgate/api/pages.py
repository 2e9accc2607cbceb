"""
Pages: answers requests for the chat, the picture of the gateway, and their files.

Each file is in memory, whole and compressed, before the first request for it.
"""

from functools import partial

from swapgate.api.responses import answer
from swapgate.pages.files import PageFile, page_files
from swapgate.pages.negotiation import has_it, takes_gzip, takes_html
from swapgate.server.request import GatewayRequest, Route
from swapgate.server.request_parser import RequestHead

# What Ollama's clients look for.
_RUNNING = b"Ollama is running"
_A_YEAR_S = 365 * 24 * 3600
# No other host is asked for anything, nothing inline runs, and no other page may hold
# one of these in a frame or in its hands.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: "
    b"blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_HEADERS = (
    (b"Content-Security-Policy", _POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
)


def page_route(path: str, head: RequestHead) -> Route | None:
    """
    What answers a GET or HEAD of this path; None where it is no page's.
    """
    file = page_files().get(path)
    if file is None:
        return None
    if path == "/" and not takes_html(head.first(b"accept")):
        return Route(_answer_program)
    return Route(partial(_answer_file, file=file, negotiated=path == "/"))


async def _answer_program(request: GatewayRequest) -> None:
    request.responseHeaders.addRawHeader(b"Vary", b"Accept")
    answer(request, 200, _RUNNING, b"text/plain; charset=utf-8")


async def _answer_file(
    request: GatewayRequest, *, file: PageFile, negotiated: bool
) -> None:
    head = request.head
    compressed = takes_gzip(head.first(b"accept-encoding"))
    etag = file.etag(compressed=compressed)
    varies = b"Accept, Accept-Encoding" if negotiated else b"Accept-Encoding"
    request.responseHeaders.addRawHeader(b"Vary", varies)
    request.setHeader(b"ETag", etag)
    lasting = b"max-age=%d, immutable" % _A_YEAR_S
    request.setHeader(b"Cache-Control", lasting if file.lasting else b"no-cache")
    for name, value in _HEADERS:
        request.setHeader(name, value)
    if has_it(head.first(b"if-none-match"), etag):
        request.setResponseCode(304)
        request.finish()
        return
    if compressed:
        request.setHeader(b"Content-Encoding", b"gzip")
    answer(request, 200, file.body(compressed=compressed), file.content_type)
