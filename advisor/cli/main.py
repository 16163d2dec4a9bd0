"""The root of the command line: which command is meant, and what happens to every error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click

from advisor.cli.crash import describe, write_report
from advisor.cli.door import Door, ReaderGoneError
from advisor.core.errors import AdvisorError, ExitCode, InputError, nearest
from advisor.core.redaction import without_secrets

COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("advisor.cli.planning", "The recommended plan, with its reasons."),
    "run": ("advisor.cli.running", "Recommend and carry out: a tuned model and an honest estimate."),
    "runs": ("advisor.cli.watching", "List runs."),
    "attach": ("advisor.cli.watching", "Watch a run."),
    "serve": ("advisor.cli.serving", "The interface in a browser."),
    "compare": ("advisor.cli.comparing", "Runs side by side: results, and where the plans differ."),
    "resume": ("advisor.cli.running", "Go on with a run that was interrupted."),
    "stop": ("advisor.cli.running", "Stop a run and keep the best."),
    "predict": ("advisor.cli.predicting", "Predictions of a run's model, as CSV."),
    "explain": ("advisor.cli.explaining", "Why a plan is as it is, and what would change it."),
    "report": ("advisor.cli.reporting", "A run as one HTML page to send to others."),
    "diagnose": ("advisor.cli.diagnosing", "What is wrong with a run, an Optuna study or learning curves, and what to do."),
    "export": ("advisor.cli.exporting", "A plan or a run as a plain script that needs no advisor."),
    "probe": ("advisor.cli.looking", "What this process may use of the machine."),
    "profile": ("advisor.cli.looking", "What the data hold."),
    "lint": ("advisor.cli.linting", "What in a search space wastes trials or cannot work, and repairs that are safe."),
    "rules": ("advisor.cli.rules", "The rulebook: list, show, check."),
}
"""Name to module and summary, in the order of a user's day. A module is imported when its command is called."""

_HELP = """Looks at your machine and your data, recommends how to tune your model, proves why, and does it.

\b
advisor DATA          the terminal interface: questions, plan, run, result
advisor plan DATA     the plan alone
advisor run DATA      recommend and carry out

DATA is a table (CSV, TSV, JSON Lines, Parquet, Feather, .npz; .gz and .zst too), sklearn:NAME for a data set that ships
with scikit-learn, or a SQL URL with --query. A file that is named like a command is written with its folder: ./plan
"""


class Commands(click.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command called `name`."""
        if name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(COMMANDS[name][0]), name)
        return found

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """The root group."""


def run(arguments: Sequence[str], door: Door) -> int:
    """Carries out the command line `arguments` and gives the exit code. Every error becomes one message on standard error."""
    words = list(arguments)
    # Before parsing, so that a mistake in the flags is told as JSON too.
    door.as_json = "--json" in words
    try:
        return _dispatch(words, door)
    except AdvisorError as error:
        return _report(error, door)
    except click.exceptions.Exit as end:
        return int(end.exit_code)
    except click.UsageError as error:
        return _report(_as_input_error(error), door)
    except click.ClickException as error:
        return _report(InputError(error.format_message(), cure="See `advisor --help`."), door)
    except (click.Abort, KeyboardInterrupt):
        door.say("interrupted")
        return int(ExitCode.INTERRUPTED)
    except ReaderGoneError:
        # Nothing more to say, and Python must not say it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), door.out.fileno())
        return 128 + 13
    except Exception as error:  # the last boundary: the user gets a report instead of a trace
        report = write_report(error, words)
        door.say(describe(error, report))
        if door.as_json:
            door.result_json(_error_object(type(error).__name__, f"report: {report}", "Send the report.", ExitCode.CRASHED))
        return int(ExitCode.CRASHED)


def _dispatch(words: list[str], door: Door) -> int:
    """Calls the command that `words` mean: the group where the first word is one of it, else the interface."""
    if words and words[0] in ("--version", "-V"):
        from advisor import __version__

        door.result(f"tuning-advisor {__version__}")
        return int(ExitCode.DONE)
    command: Callable[..., Any] = commands.main
    if not words or (words[0] not in COMMANDS and words[0] not in ("--help", "-h")):
        from advisor.cli.opening import open_interface

        command = open_interface.main
    code = command(words, prog_name="advisor", obj=door, standalone_mode=False)
    return code if isinstance(code, int) else int(ExitCode.DONE)


def _as_input_error(error: click.UsageError) -> InputError:
    """A mistake in the command line as an error of ours, with the nearest name where one is near."""
    place = error.ctx.command_path if error.ctx else "advisor"
    help_hint = f"See `{place} --help`."
    if isinstance(error, click.NoSuchOption):
        known = [name for p in error.ctx.command.params for name in p.opts] if error.ctx else []
        return InputError(f"no such option: {error.option_name}", where=place, cure=f"{_near(error.option_name, known)}{help_hint}")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return InputError(f"missing {error.param.human_readable_name.upper()}", where=place, cure=help_hint)
    return InputError(error.format_message().rstrip("."), where=place, cure=help_hint)


def _near(name: str, known: Sequence[str]) -> str:
    hint = nearest(name, known)
    return f"{hint} " if hint.startswith("Did you mean") else ""


def _report(error: AdvisorError, door: Door) -> int:
    """Tells `error` on standard error, and as an object on standard output where JSON was asked for."""
    what, where, cure = (without_secrets(text) for text in (error.what, error.where, error.cure))
    door.say(f"error: {type(error).__str__(AdvisorError(what, where=where, cure=cure))}")
    if door.as_json:
        door.result_json(_error_object(what, where, cure, error.exit_code))
    return int(error.exit_code)


def _error_object(what: str, where: str, cure: str, code: ExitCode) -> str:
    return json.dumps({"error": {"what": what, "where": where, "cure": cure, "exit_code": int(code)}}, ensure_ascii=False)
