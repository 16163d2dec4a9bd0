"""The interface as a whole: which screen comes first, the colours, signals, and how it ends. Screens hold everything else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from advisor.core.errors import AdvisorError, ExitCode
from advisor.tui.frame import Help, Page
from advisor.tui.themes import DARK, LIGHT, AsciiFilter
from advisor.tui.walk import SessionWalk, Walk

if TYPE_CHECKING:
    from advisor.core.facts import Facts
    from advisor.core.plan import Plan


class AdvisorApp(App[int]):
    """The walk from data to a result."""

    TITLE = "Tuning Advisor"
    CSS = """
    * { scrollbar-color: $edge; scrollbar-color-hover: $quiet; scrollbar-color-active: $accent;
        scrollbar-background: $background; scrollbar-background-hover: $background; scrollbar-background-active: $background; }
    Toast { max-width: 70; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("f1", "help", "Help", show=False, key_display="F1"),
        Binding("ctrl+t", "light_or_dark", "Light or dark", show=False),
        Binding("ctrl+z", "suspend_process", "To the shell", show=False),
        Binding("ctrl+p", "command_palette", "Palette", show=False),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        walk: Walk,
        *,
        source: str | None = None,
        answers: dict[str, Any] | None = None,
        runs: str = "runs",
        query: str | None = None,
        attach: Path | None = None,
        is_ascii: bool = False,
        theme: str = "dark",
    ) -> None:
        # Textual turns colours into greys for NO_COLOR, unless colours are the terminal's own from the beginning
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.walk = walk
        self.source = source
        self.answers: dict[str, Any] = dict(answers or {})
        self.runs = runs
        self.sql_query = query
        self.attach = attach
        self.edits: dict[str, Any] = {}
        """Ranges that the user has set on the plan, kept while one goes back to the questions."""
        self.code = int(ExitCode.DONE)
        """What the process will say when the user leaves now."""
        self.farewell = ""
        """One line for standard error once the terminal is back."""
        self.crash: Path | None = None
        """Where the report of a crash lies."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = f"ansi-{theme}" if self.no_color else f"advisor-{theme}"
        if is_ascii:
            self._filters.append(AsciiFilter())

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for themes that are not ours."""
        if self.current_theme.ansi:
            return {"quiet": "ansi_default", "edge": "ansi_bright_black", "cursor": "ansi_default"}
        colours = self.current_theme.to_color_system().generate()
        return {"quiet": colours["foreground-darken-2"], "edge": colours["panel-lighten-2"], "cursor": colours["panel-lighten-1"]}

    def first_screen(self) -> Page:
        """The first screen: a run to watch, questions on the data, or the start."""
        if self.attach is not None:
            from advisor.tui.screens.run import RunScreen

            return RunScreen(self.attach)
        if self.source is not None or self.answers.get("command") or ":" in str(self.answers.get("model", "")):
            from advisor.tui.screens.questions import QuestionsScreen

            return QuestionsScreen(self.source, self.answers, query=self.sql_query, is_first=True)
        from advisor.tui.screens.start import StartScreen

        return StartScreen()

    def on_mount(self) -> None:
        """Takes over the signals that end a terminal, so that it is left as it was found."""
        self.push_screen(self.first_screen())
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                loop.add_signal_handler(number, partial(self._signalled, number))
            except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread, as in tests
                break

    def _signalled(self, number: int) -> None:
        self.exit(128 + number, return_code=128 + number)

    def fail(self, error: AdvisorError) -> None:
        """Remembers an error that leaves nothing to do on this screen: leaving now gives its exit code and says it again."""
        self.code = int(error.exit_code)
        self.farewell = str(error)

    def leave(self) -> None:
        """Ends the interface."""
        self.exit(self.code, return_code=self.code)

    async def action_quit(self) -> None:
        """Ends the interface; a running engine goes on."""
        self.leave()

    # -- from screen to screen ---------------------------------------------------------------------------------------
    def to_start(self) -> None:
        """Shows the start, with whatever was below gone."""
        from advisor.tui.screens.start import StartScreen

        self._only(StartScreen())

    def to_questions(self, source: str, answers: dict[str, Any], *, query: str | None = None) -> None:
        """Shows the questions on `source`."""
        from advisor.tui.screens.questions import QuestionsScreen

        self._only(QuestionsScreen(source, answers, query=query))

    def to_plan(self, plan: Plan, facts: Facts, *, query: str | None, starts_at_once: bool = False) -> None:
        """Shows the plan over the questions, which stay as they are."""
        from advisor.tui.screens.plan import PlanScreen

        self.push_screen(PlanScreen(plan, facts, query=query, starts_at_once=starts_at_once))

    def to_run(self, run_dir: Path) -> None:
        """Watches a run."""
        from advisor.tui.screens.run import RunScreen

        self._only(RunScreen(run_dir))

    def to_result(self, run_dir: Path) -> None:
        """Shows what came out of a run."""
        from advisor.tui.screens.result import ResultScreen

        self._only(ResultScreen(run_dir))

    def _only(self, page: Page) -> None:
        self.code, self.farewell, self.edits = int(ExitCode.DONE), "", {}
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.switch_screen(page)

    # -- keys of every screen ----------------------------------------------------------------------------------------
    def action_help(self) -> None:
        """Shows every key of this screen; a second press closes it again."""
        if isinstance(self.screen, Help):
            self.screen.dismiss()
        else:
            self.push_screen(Help(self.screen))

    def action_light_or_dark(self) -> None:
        """Exchanges the light and the dark theme."""
        kind = "ansi" if self.no_color else "advisor"
        self.theme = f"{kind}-dark" if not self.current_theme.dark else f"{kind}-light"

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every key of the screen by name, then what Textual offers."""
        seen: set[str] = set()
        for node, binding, enabled, _tooltip in screen.active_bindings.values():
            if binding.system or not enabled or not binding.description or binding.description in seen:
                continue
            if binding.action == "command_palette":
                continue
            seen.add(binding.description)
            yield SystemCommand(
                binding.description,
                f"Key {self.get_key_display(binding)}",
                partial(self.run_action, binding.action, default_namespace=node),
            )
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)

    # -- crashes -----------------------------------------------------------------------------------------------------
    def _fatal_error(self) -> None:
        """Ends on a fault of ours with a report that holds no values of variables: they may hold the user's data."""
        self.crash = write_crash(sys.exc_info()[1])
        self._close_messages_no_wait()


def write_crash(error: BaseException | None) -> Path:
    """The file that now holds the trace of `error`, readable by its owner only."""
    handle, name = tempfile.mkstemp(prefix="advisor-crash-", suffix=".txt")
    text = "".join(traceback.format_exception(error)) if error is not None else "no exception is known\n"
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def run(
    data: str | None,
    *,
    answers: dict[str, Any],
    runs: str,
    query: str | None,
    attach: Path | None = None,
    walk: Walk | None = None,
    is_ascii: bool = False,
    theme: str = "dark",
) -> int:
    """The exit code, once the user has left the interface.

    `data` is what the command line named, None for the start screen; `attach` watches a run instead; `is_ascii` keeps every
    byte below 128; `theme` is ``dark`` or ``light``.
    """
    app = AdvisorApp(
        walk or SessionWalk(), source=data, answers=answers, runs=runs, query=query, attach=attach, is_ascii=is_ascii, theme=theme
    )
    code = app.run()
    if app.crash is not None:
        sys.stderr.write(f"The interface failed; a running engine goes on. Report: {app.crash}\n")
        return int(ExitCode.CRASHED)
    if app.farewell:
        sys.stderr.write(app.farewell + "\n")
    return int(code) if code is not None else int(app.return_code or ExitCode.DONE)
