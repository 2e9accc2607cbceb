"""
What browsers say of themselves to http://127.0.0.1, in headers.

Sec-CH-UA goes to what is "potentially trustworthy" alone: https, localhost, 127.0.0.1
and [::1] (W3C, Secure Contexts, 3.1). An extension's requests have it as well: see
`page_assist.json`, as recorded.
"""

from collections.abc import Mapping

_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_CHROME = f"{_MAC} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%s.0.0.0 Safari/537.36"

# Sec-CH-UA as Brave's makers verified it: brave/brave-core, pull request 15134 (release
# 1.46, Chromium 106), in all of its channels: brave/brave-browser, issue 25459. The
# User-Agent is Chrome's: nielsbasjes/yauaa, issue 830. Sec-GPC: Brave's alone.
BRAVE = {
    "User-Agent": _CHROME % 106,
    "Sec-CH-UA": '"Chromium";v="106", "Brave";v="106", "Not;A=Brand";v="99"',
    "Sec-CH-UA-Mobile": "?0",
    "Sec-CH-UA-Platform": '"macOS"',
    "Sec-GPC": "1",
    "Sec-Fetch-Site": "none",
}
# The User-Agent: chromium.org/updates/ua-reduction; MDN, Navigator.appVersion. The
# hints: MDN, Sec-CH-UA; the brands in the order of Chrome 143, which changes with each
# version, as does the one that is made up (GREASE).
CHROME = {
    "User-Agent": _CHROME % 143,
    "Sec-CH-UA": '"Google Chrome";v="143", "Chromium";v="143", "Not A(Brand";v="24"',
    "Sec-CH-UA-Mobile": "?0",
    "Sec-CH-UA-Platform": '"macOS"',
    "Sec-Fetch-Site": "none",
}
# The User-Agent: "Trouble happens when you update a version number" (2024), an article
# at nielsleenheer.com. There are no client hints: MDN, Sec-CH-UA, compatibility.
SAFARI = {
    "User-Agent": (
        f"{_MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
    ),
    "Sec-Fetch-Site": "same-origin",
}


def fields(headers: Mapping[str, str]) -> dict[bytes, list[bytes]]:
    """
    Headers as a request's head has them.
    """
    return {k.lower().encode(): [v.encode("latin-1")] for k, v in headers.items()}
