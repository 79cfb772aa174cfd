"""Waiting for a database that is gone for a while, as when its server is restarted."""

import time
from collections.abc import Callable
from typing import TypeVar

from rsbench.errors import IncompleteError, UnavailableError
from rsbench.jobs.watcher import Watcher

# Seconds: a server that restarts or fails over is back by then.
LIMIT = 300.0
_PAUSE = 2.0

_T = TypeVar("_T")


def patiently(act: Callable[[], _T], watcher: Watcher) -> _T:
    """What `act` returns, tried again and again for as long as the database does not answer or is locked.

    `act` may have been done before: whether a lost server has committed is not told.
    Raises IncompleteError when the time is over, and at once whatever else `act` raises.
    """
    began, waiting = time.monotonic(), False
    while True:
        try:
            result = act()
        except UnavailableError as error:
            if time.monotonic() - began >= LIMIT:
                raise IncompleteError(
                    f"the database did not answer for {LIMIT:.0f} s ({error}); the same command resumes"
                ) from error
            if not waiting:
                watcher.say(f"waiting up to {LIMIT:.0f} s for the database ({error})")
            waiting = True
            time.sleep(_PAUSE)
        else:
            if waiting:
                watcher.say("the database answers again")
            return result
