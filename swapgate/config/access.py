"""
Access control as configured: which hosts, origins and keys are let in.

1. An endpoint that other machines reach needs keys, or an explicit `open = yes`.
2. The list of models needs a key as well where an endpoint is public, unless the
   configuration says otherwise.
"""

from collections.abc import Iterable, Sequence

from attrs import frozen

from swapgate.config.endpoints import is_public
from swapgate.config.expand import Expander
from swapgate.config.ini import Section
from swapgate.config.keys import Key
from swapgate.config.options import GENERAL, fields, read


@frozen(kw_only=True)
class Access:
    """
    What is let in beyond this machine's own programs.

    :param hosts: further names of the gateway, in the form of a Host header.
    :param origins: of the pages that may ask and read, in the form of an Origin header.
    :param key_files: files whose keys have not been read yet; until then no key of
        theirs is accepted.
    :param models_need_key: whether the list of models needs a key, too.
    :param open: whether a public endpoint needs no keys.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    keys: tuple[Key, ...] = ()
    key_files: tuple[str, ...] = ()
    models_need_key: bool = False
    open: bool = False

    @property
    def keyed(self) -> bool:
        """
        Whether requests need a key.
        """
        return bool(self.keys or self.key_files)


def read_access(section: Section, listen: Sequence[str], expander: Expander) -> Access:
    """
    The options about access, which have to fit the endpoints in `listen`.
    """
    public = [endpoint for endpoint in listen if is_public(endpoint)]
    keys, key_files = read(section, "api_keys", expander) or ((), ())
    found = fields(section, Access, expander, GENERAL)
    access = Access(
        keys=keys, key_files=key_files, **{"models_need_key": bool(public)} | found
    )
    if public and not (access.keyed or access.open):
        raise section.error(
            f"{public[0]!r} is open to other machines; add interface=127.0.0.1 to it, "
            "or set api_keys, or write open = yes if everybody shall get in",
            "listen",
        )
    if "models_need_key" in found and not access.keyed:
        raise section.error("needs api_keys; set them", "models_need_key")
    return access


def exposed_endpoint(
    in_use: Iterable[str], listen: Sequence[str], access: Access
) -> str | None:
    """
    The public endpoint in use that `access` would open to other machines.

    :param in_use: the endpoints that are open, whatever the configuration says now.
    :param listen: the endpoints that `access` was written for.
    """
    if access.open or any(map(is_public, listen)):
        return None
    if access.keyed and access.models_need_key:
        return None
    return next(filter(is_public, in_use), None)
