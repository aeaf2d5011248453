"""Which addresses a fetch may connect to: the public internet, and what a policy adds."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

# Written out, as what `is_global` says has changed between versions of Python. The registries:
# IANA IPv4 and IPv6 Special-Purpose Address Spaces (RFC 6890 and its updates).
_NEVER = [
    ip_network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24"
        " 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16"
        " 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3"
        " 168.63.129.16/32"  # Azure's host agent, which stands on a public address
        " ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/63 2001::/23 2001:db8::/32"
        " 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8"
    ).split()
]


def is_public(address: str, inside: tuple[Network, ...] = ()) -> bool:
    """Whether an address (as text, without a zone) is on the public internet, or in one of the
    networks `inside`. Addresses that carry another within them (IPv4-mapped, 6to4, NAT64,
    Teredo) are not: where they lead is not for us to see."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    if any(found in network for network in inside):
        return True
    if getattr(found, "scope_id", None) is not None:
        return False
    if isinstance(found, IPv6Address) and found not in _GLOBAL_UNICAST:
        return False
    return found.is_global and not any(found in network for network in _NEVER)


_GLOBAL_UNICAST = IPv6Network("2000::/3")
