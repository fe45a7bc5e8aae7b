"""Taking a port before anything slow begins, so that one that is taken is said at once and in our words."""

from __future__ import annotations

import errno
import socket

from heedful.errors import ResourceError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address; who comes early waits.

    ResourceError: the port is taken, or the host is no address of this machine.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # a port that is only bound can be bound again
    except OSError as error:
        listening.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ResourceError(f"--host {host}: is no address of this machine; 0.0.0.0 is all that it has") from None
        mend = "does another program serve there?); choose another with --port"
        raise ResourceError(f"port {port} of {host} can't be used ({error.strerror}; {mend}") from None
    return listening
