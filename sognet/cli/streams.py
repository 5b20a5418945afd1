"""Standard output that is not UTF-8, or that nobody reads any more."""

import os
import sys

NOBODY_READS = 141
"""Exit code where the reader of the output has gone, as shells report SIGPIPE."""


def replace_unencodable() -> None:
    """Print ? for what the encoding of the output does not have, Å in ASCII for instance, instead of ending there."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def end_unread() -> None:
    """End where the output has no reader, as in `sognet runs | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at the end goes there
    sys.exit(NOBODY_READS)
