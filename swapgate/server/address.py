"""
Address: a socket's IP address as it is compared and counted. Pure.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address


def read_address(text: str) -> IPv4Address | IPv6Address:
    """
    Without its zone; one that a dual-stack socket shows as IPv6 is the IPv4 one again.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address
