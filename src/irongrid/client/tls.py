"""Whose certificates are trusted: the machine's authorities, and what the home folder adds."""

import ssl
from pathlib import Path


def trust(ca_file: Path) -> ssl.SSLContext:
    """A context that checks certificates, also against `ca_file` where that exists.

    A server's own certificate may stand in the file: it need not be signed by anyone else.
    """
    context = ssl.create_default_context()
    if ca_file.exists():
        context.load_verify_locations(cafile=ca_file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
