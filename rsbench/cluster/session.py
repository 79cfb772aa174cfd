"""A connection to Ray for as long as a command needs it."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from rsbench.errors import IncompleteError, first_line


@contextmanager
def ray_session(cpus: int) -> Iterator[None]:
    """A Ray that is already there (`RAY_ADDRESS`, or one this process is connected to), else a local one of `cpus`.

    Raises IncompleteError when Ray does not start or does not answer.
    """
    if ray.is_initialized():
        yield
        return
    elsewhere = "RAY_ADDRESS" in os.environ
    try:
        if elsewhere:
            _knock(os.environ["RAY_ADDRESS"])
        with _ctrl_c_later():
            ray.init(
                # Without this Ray would join whichever cluster was last started on this machine.
                address=None if elsewhere else "local",
                num_cpus=None if elsewhere else max(1, cpus),
                include_dashboard=None if elsewhere else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"answers at RAY_ADDRESS={os.environ['RAY_ADDRESS']}" if elsewhere else "starts on this machine"
        raise IncompleteError(f"no Ray {where} ({first_line(error)}): see rsbench doctor") from error
    try:
        yield
    finally:
        with _ctrl_c_later():
            ray.shutdown()


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Ctrl-C within is felt at the end: Ray that is left half-started or half-stopped can crash the process.

    A second Ctrl-C is felt at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    felt = False

    def feel(_signal: int, _frame: object) -> None:
        nonlocal felt
        if felt:
            raise KeyboardInterrupt
        felt = True

    before = signal.signal(signal.SIGINT, feel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if felt:
        raise KeyboardInterrupt


def _knock(address: str) -> None:
    """Raises OSError when nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def cluster_resources() -> dict[str, float]:
    """CPUs and GPUs of the Ray that a command would use. Raises IncompleteError when Ray does not start."""
    with ray_session(1):
        return _resources()


def room() -> str:
    """The same of the Ray that this process is connected to, in words."""
    return ", ".join(f"{amount:g} {name}" for name, amount in _resources().items())


def _resources() -> dict[str, float]:
    found = ray.cluster_resources()
    return {name: float(found.get(name, 0.0)) for name in ("CPU", "GPU")}
