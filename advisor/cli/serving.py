"""``advisor serve``: the interface in a browser, each tab a process of its own, by textual-serve."""

from __future__ import annotations

import ipaddress
import re
import shlex
import socket
import sys
from importlib.util import find_spec
from typing import Any

import click

from advisor.cli.door import Door
from advisor.cli.opening import open_interface
from advisor.core.errors import CannotRunError, ExitCode, InputError

LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]", "::1"}
"""What a browser on this machine calls this machine."""
SHUTDOWN_SECONDS = 1.0
"""How long open tabs may take to close once the server is to end."""
_FOCUS = """<script>
(function focus() {
  const keys = document.querySelector(".xterm-helper-textarea");
  if (keys) keys.focus(); else setTimeout(focus, 100);
})();
</script>"""
"""The first key press reaches the interface without a click."""
_LINK = re.compile(r"<link[^>]*>")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[DATA|attach RUN] [OPTIONS OF THE INTERFACE]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. There is no login.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.pass_obj
def serve(door: Door, /, words: tuple[str, ...], host: str, port: int) -> int:
    """Shows the interface in a browser. A closed tab stops no run; a new one on the same data watches it again."""
    _check(words, door)
    if find_spec("textual_serve") is None:
        cure = "Install it: pip install 'tuning-advisor[serve]'"
        raise CannotRunError("textual-serve is not installed", where="advisor serve", cure=cure)
    if not is_loopback(host):
        door.say(
            f"warning: there is no login. Whoever reaches {host} can read your data and start processes here; "
            "leave --host out and use an SSH tunnel instead."
        )
    place = free_port(host, port)
    door.say(f"The interface is at http://{_named(host)}:{place}  (Ctrl-C ends it; runs go on)")
    server(command_line(words), host, place).serve()
    return int(ExitCode.DONE)


def command_line(words: tuple[str, ...]) -> str:
    """The command that each tab runs, quoted for the shell.

    >>> command_line(("my data.csv",)).endswith("-m advisor 'my data.csv'")
    True
    """
    return shlex.join([sys.executable, "-m", "advisor", *words])


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("0.0.0.0"), is_loopback("lab.example")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0.

    Raises: InputError when it is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise InputError(
            f"cannot listen there: {error.strerror or error}", where=f"{host}:{port}", cure="Name another --port or --host."
        ) from error


def server(command: str, host: str, port: int) -> Any:
    """A server of textual-serve that speaks to its own pages only, fetches nothing from elsewhere, and logs no variables.

    It has no login, so any page in the browser could otherwise open its socket and type: requests whose origin or, on this
    machine alone, whose host name is another's are refused.
    """
    from aiohttp import web
    from textual_serve.server import Server

    is_local = is_loopback(host)

    @web.middleware
    async def same_origin(request: web.Request, handler: Any) -> Any:
        origin = request.headers.get("Origin")
        name = request.host.rpartition(":")[0] or request.host
        if (origin is not None and origin.partition("://")[2] != request.host) or (is_local and name not in {*LOCAL_NAMES, host}):
            raise web.HTTPForbidden(text="This page belongs to another site.")
        return await handler(request)

    class Quiet(Server):
        """The server with our manners."""

        def serve(self, debug: bool = False) -> None:
            """Serves until Ctrl-C or SIGTERM. Open tabs are given a second, where the library's own loop gives them a minute;
            nothing is logged: its log prints the variables of whatever fails."""
            del debug
            web.run_app(self._make_app(), host=self.host, port=self.port, print=None, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

        async def on_startup(self, app: web.Application) -> None:
            """Nothing: the address is told already."""

        async def _make_app(self) -> web.Application:
            app = await super()._make_app()
            app.middlewares.append(same_origin)
            return app

        async def handle_index(self, request: web.Request) -> web.Response:
            self.public_url = f"{request.scheme}://{request.host}"
            response = await super().handle_index(request)
            assert isinstance(response, web.Response)  # a page, not a stream
            # its page asks another site for a font: nobody is told that you are here
            text = _LINK.sub(lambda link: link[0] if self.public_url in link[0] else "", response.text or "")
            response.text = text.replace("</body>", f"{_FOCUS}</body>")
            return response

    return Quiet(command, host=host, port=port, title="Tuning Advisor")


def _check(words: tuple[str, ...], door: Door) -> None:
    """Reads the words as the interface will, so that a mistake is told here and not in a closed tab.

    Raises: InputError or click.UsageError.
    """
    if words[:1] == ("attach",):
        from advisor.cli.watching import attach

        context = attach.make_context("advisor attach", list(words[1:]), obj=door)
        door.session.find_run(context.params["name"], context.params["runs"])
        return
    context = open_interface.make_context("advisor", list(words), obj=door)
    if context.params["plain"] or context.params["more"]:
        raise InputError("this is no command line of the interface", where=shlex.join(words), cure="Name a table and its options alone.")
    from advisor.cli.opening import check_data

    check_data(context.params["data"])


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host
