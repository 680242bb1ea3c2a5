"""Loaded first in a watched Python (through PYTHONPATH): writes every attempt to leave this machine to a file.

The attempts are let through, so that what is watched behaves as it would for a person.
"""

import ipaddress
import os
import socket

LOG = os.environ["EVERYAGE_TEST_NETWORK_LOG"]


def _local(host):
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return text in ("localhost", "")
    return address.is_loopback or address.is_unspecified


def _note(what, host):
    if host is not None and not _local(host):
        with open(LOG, "a") as log:  # noqa: PTH123
            log.write(f"{what} {host!r}\n")


def _watch_method(name):
    original = getattr(socket.socket, name)

    def watched(self, *arguments):
        address = arguments[-1]
        if isinstance(address, tuple):
            _note(name, address[0])
        return original(self, *arguments)

    setattr(socket.socket, name, watched)


def _watch_function(name):
    original = getattr(socket, name)

    def watched(host, *arguments, **options):
        _note(name, host)
        return original(host, *arguments, **options)

    setattr(socket, name, watched)


for method in ("connect", "connect_ex", "sendto"):
    _watch_method(method)
for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    _watch_function(function)
