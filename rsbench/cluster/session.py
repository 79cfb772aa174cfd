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
    """Use the Ray that this process is connected to, else the one at `RAY_ADDRESS`, else a new local one of `cpus`.

    A connection that this opens is closed at the end. Raises IncompleteError if Ray does not start or does not answer.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address is not None:
            _check_reachable(address)
        with _delayed_interrupt():
            ray.init(
                # Without "local", Ray would join whichever cluster was last started on this machine.
                address="local" if address is None else None,
                num_cpus=max(1, cpus) if address is None else None,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        problem = (
            "Ray does not start on this machine" if address is None else f"no Ray answers at RAY_ADDRESS={address}"
        )
        raise IncompleteError(f"{problem} ({first_line(error)}): see rsbench doctor") from error
    try:
        yield
    finally:
        with _delayed_interrupt():
            ray.shutdown()


@contextmanager
def _delayed_interrupt() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block, because interrupting Ray as it starts or stops can crash the process.

    A second Ctrl-C interrupts at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_interrupted = False

    def remember(_signal: int, _frame: object) -> None:
        nonlocal is_interrupted
        if is_interrupted:
            raise KeyboardInterrupt
        is_interrupted = True

    previous_handler = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)
    if is_interrupted:
        raise KeyboardInterrupt


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT. Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def cluster_resources() -> dict[str, float]:
    """Return the CPUs and GPUs of the Ray that a command would use. Raises IncompleteError if Ray does not start."""
    with ray_session(1):
        return _resources()


def describe_resources() -> str:
    """Return the CPUs and GPUs of the Ray that this process is connected to, as text for a message."""
    return ", ".join(f"{amount:g} {kind}" for kind, amount in _resources().items())


def _resources() -> dict[str, float]:
    amounts = ray.cluster_resources()
    return {kind: float(amounts.get(kind, 0.0)) for kind in ("CPU", "GPU")}
