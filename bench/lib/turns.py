"""
Whose turn it is.  Who waits is stopped (SIGSTOP): what a server or a keeper does in the background, now or later, is not
for the others to pay, nor is it done for nothing in their time.
"""
import contextlib
import os
import signal

stopped = set()


def tell(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            stopped.discard(pid)


def stop(pids):
    """In this order: who is served before who serves."""
    stopped.update(pids)
    tell(pids, signal.SIGSTOP)


def go_on(pids):
    tell(reversed(pids), signal.SIGCONT)
    stopped.difference_update(pids)


def all_go_on():
    go_on(list(stopped))


@contextlib.contextmanager
def own_turn(pids):
    """Of those that are stopped."""
    go_on(pids)
    try:
        yield
    finally:
        stop(pids)
