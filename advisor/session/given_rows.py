"""The files that a plan validates and tests on: still the ones it was made with, and typed like the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advisor.core.errors import InputError
from advisor.core.facts import Facts, GivenRows
from advisor.core.plan import Plan
from advisor.session.folder import Request

if TYPE_CHECKING:
    import polars as pl


def unchanged(rows: GivenRows, path: str, name: str) -> pl.DataFrame:
    """The table of `rows`, which the answer `name` named, in the file `path`.

    Raises: InputError when it cannot be read, or is not the one that the plan was made with.
    """
    from advisor.profiling.given import open_given

    table = open_given(path, f"--{name}")
    if table.fingerprint != rows.fingerprint:
        raise InputError(
            f"{rows.source} has changed since the plan was made", where=f"--{name}", cure="Put the file back as it was, or plan anew."
        )
    return table.frame


def check_given(plan: Plan, request: Request | None = None) -> None:
    """Refuses a plan whose files are gone or others than it was made with, and one whose validation wants a file that it does not name.

    The files are looked for where `request` says that they lie, else as the plan names them. Raises: InputError.
    """
    if (plan.validation.scheme == "given") != (plan.valid is not None):
        raise InputError(
            "validation on given rows needs their file, and no other validation has one",
            where="plan: validation.scheme",
            cure="Plan anew with --valid FILE, or without.",
        )
    asked = request if request is not None else Request(data=plan.data)
    for name, rows, path in (("valid", plan.valid, asked.valid), ("test", plan.test, asked.test)):
        if rows is not None:
            unchanged(rows, path or rows.source, name)


def read_given(plan: Plan, facts: Facts, request: Request) -> dict[str, pl.DataFrame]:
    """``valid`` and ``test`` as far as the plan names them: the columns that the run uses, typed like the data, and the target.

    Raises: InputError when a file cannot be read, or is not the one that the plan was made with.
    """
    from advisor.profiling.given import typed_like

    used = {*plan.features, plan.validation.group, plan.validation.time, plan.weights}
    columns = [c for c in facts.data.columns if c.name in used]
    return {
        name: typed_like(unchanged(rows, path or rows.source, name), columns, plan.target, plan.table_task, f"--{name}")
        for name, rows, path in (("valid", plan.valid, request.valid), ("test", plan.test, request.test))
        if rows is not None
    }
