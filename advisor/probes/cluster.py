"""The Ray cluster that was named, if one was."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from threading import Thread

from advisor.core.facts import Unknown

_PATIENCE_SECONDS = 1.0
_RAY_PORT = 6379


def cluster_slots(address: str | None, *, patience_seconds: float = _PATIENCE_SECONDS) -> int | Unknown:
    """0 when no cluster was named; otherwise an Unknown that says what stands in the way. Shell: ``ray status --address ADDRESS``.

    Whether anything listens is settled by opening and closing one connection, within `patience_seconds`. The slots
    themselves only Ray can count.
    """
    if address is None:
        return 0
    where = _host_and_port(address)
    if where is None:
        return Unknown(reason=f"{address!r} is no address of a cluster", cure="Give --cluster HOST:PORT or ray://HOST:PORT.")
    fault = _reach(*where, patience_seconds)
    if fault:
        return Unknown(reason=f"no answer from {where[0]} port {where[1]}: {fault}", cure="Start Ray there, or leave --cluster out.")
    if find_spec("ray") is None:
        return Unknown(
            reason=f"{where[0]} port {where[1]} answers, but Ray is not installed here",
            cure="Install the version of Ray that the cluster runs: python -m pip install 'ray[tune]'.",
        )
    return Unknown(reason="the cluster answers; its slots are not counted before it is joined", cure="Give --workers.")


def _host_and_port(address: str) -> tuple[str, int] | None:
    plain = address.strip().removeprefix("ray://")
    if plain in ("auto", "local"):
        return "127.0.0.1", _RAY_PORT
    host, colon, port = plain.rpartition(":")
    if not colon:
        host, port = plain, str(_RAY_PORT)
    host = host.strip("[]")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return host, int(port)


def _reach(host: str, port: int, patience_seconds: float) -> str:
    """Empty when a connection opened; the fault otherwise. A name server that hangs is left behind in its thread."""
    faults = ["timed out"]

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=patience_seconds):
                faults[0] = ""
        except (OSError, UnicodeError) as error:
            faults[0] = getattr(error, "strerror", None) or str(error)

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(patience_seconds)
    return faults[0]
