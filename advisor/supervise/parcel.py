"""What is sent to a worker, as bytes: cloudpickle, and caches of functions by value where their name leads nowhere."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle

_Cache = type(functools.lru_cache(maxsize=None)(abs))


def packed(value: Any) -> bytes:
    """`value` as bytes that `cloudpickle.loads` (and `pickle.loads`) understands in a fresh process.

    A function behind ``functools.cache`` is pickled by its name, which a worker cannot follow into a script, a notebook or a
    class defined there; its function travels instead, with an empty cache of the same size.

    Raises: whatever pickling raises.
    """
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # the package has no types
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _Cache) and not _is_importable(obj):
            told = obj.cache_parameters()
            return _cached, (obj.__wrapped__, told["maxsize"], told["typed"])
        return super().reducer_override(obj)


def _cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _is_importable(value: Any) -> bool:
    """True when its module, imported in a fresh process, holds this very object under its name."""
    name = getattr(value, "__module__", None)
    found: Any = sys.modules.get(name) if isinstance(name, str) else None
    if found is None or name == "__main__" or name in cloudpickle.list_registry_pickle_by_value():
        return False
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value
