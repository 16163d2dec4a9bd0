"""Rule files to a `Rulebook`. Every fault of every file is gathered and reported at once, with file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from advisor.core.derived import Given
from advisor.core.diagnosis import Diagnosis
from advisor.core.errors import RulebookError, nearest
from advisor.core.family import Family
from advisor.core.lessons import Lesson
from advisor.core.lint import Lint
from advisor.core.plan import Strategy
from advisor.core.predicates import Predicate, Verdict, parse_predicate
from advisor.core.roles import Recipe, Role
from advisor.core.rules import FIELDS, Adjustment, Bound, Example, Measured, Rule, Rulebook, StrategyEntry
from advisor.core.space import Float, Int
from advisor.core.value import Value, decode
from advisor.core.vocabulary import vocabulary

_RULE_KEYS = ("id", "when", "because", "source", "example", "overrides", "recommend", "shortlist", "set", "advise", "adjust", "evidence")
_EFFECTS = ("recommend", "shortlist", "set", "advise", "adjust")
_SHAPES = {"shortlist": (list, "a list of families"), "set": (Mapping, "fields with their values"), "adjust": (Mapping, "a table")}
_STRATEGY_KEYS = ("name", "engine", "requires", "needs", "settings", "because", "source", "example")
_ADJUST_KEYS = ("parameter", "low", "high", "fix", "default", "unit", "freeze")
_BOUND_KEYS = ("fact", "times", "at_least", "at_most", "power_of_two")
_Page = TypeVar("_Page", bound=Value)
_TOP_KEYS = ("rule", "strategy", "family", "role", "recipe", "lint", "lesson", "finding")


def shipped_folder() -> Path:
    """The folder of the rules that come with the package: inside the wheel, or beside the package in a checkout.

    Raises: RulebookError when neither is there.
    """
    inside = Path(str(resources.files("advisor"))) / "rules"
    for folder in (inside, inside.parent.parent / "rules"):
        if (folder / "strategy.toml").is_file():
            return folder
    raise RulebookError([f"{inside}: the shipped rules are missing; install the package again"])


def local_folders() -> tuple[Path, ...]:
    """Folders of the user's own rules that exist, the nearest last: ``~/.config/tuning-advisor/rules``, ``./advisor-rules``."""
    found = (Path.home() / ".config" / "tuning-advisor" / "rules", Path("advisor-rules"))
    return tuple(f for f in found if f.is_dir())


def load_rulebook(*folders: Path) -> Rulebook:
    """The rulebook of `folders` (the shipped one when none is named); later folders override earlier ones.

    A rule of a later folder takes the place of the rule of the same id, and of those its `overrides` name, in earlier
    folders; otherwise it stands before theirs in a list, and goes first elsewhere. A family or strategy entry of a later
    folder replaces the earlier one of the same name, the rules in the family's file with it; what a strategy `requires` to
    run at all stays required.

    Raises: RulebookError with every fault of every file.
    """
    reader = _Reader()
    for level, folder in enumerate(folders or (shipped_folder(),)):
        if not folder.is_dir():
            reader.faults.append(f"{folder}: no such folder of rules")
            continue
        for path in sorted(folder.rglob("*.toml")):
            reader.read(path, path.relative_to(folder).as_posix(), level)
    return reader.finish()


@dataclass
class _Place:
    """Where in a file a table stands."""

    name: str
    line: int
    block: list[str]

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"

    def of(self, token: str) -> str:
        """File and line of the first line in the block that holds `token`, else of the table itself."""
        for offset, text in enumerate(self.block):
            if token and token in text:
                return f"{self.name}:{self.line + offset}"
        return str(self)


_HEADER = re.compile(r"^\s*\[\[?\s*(rule|strategy|family|role|recipe|lint|lesson|finding)\s*\]?\]\s*(#.*)?$")


def _places(text: str, name: str) -> dict[str, list[_Place]]:
    """The places of the top tables of a file (``rule``, ``strategy``, ``role`` …), in order."""
    lines = text.splitlines()
    starts = [(i, found[1]) for i, line in enumerate(lines) if (found := _HEADER.match(line))]
    out: dict[str, list[_Place]] = {key: [] for key in _TOP_KEYS}
    for (start, kind), end in zip(starts, [*(at for at, _ in starts[1:]), len(lines)], strict=False):  # no table at all: an end alone
        out[kind].append(_Place(name, start + 1, lines[start:end]))
    return out


@dataclass
class _Reader:
    """Gathers rules, and faults, over all files."""

    faults: list[str] = field(default_factory=list)
    rules: list[tuple[int, Rule]] = field(default_factory=list)
    strategies: dict[Strategy, StrategyEntry] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    family_files: dict[str, str] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    lints: dict[str, Lint] = field(default_factory=dict)
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)
    ids: dict[tuple[str, int], str] = field(default_factory=dict)

    def read(self, path: Path, name: str, level: int) -> None:
        shown = f"{path.parent.name}/{name}" if "/" not in name else name
        try:
            text = path.read_text(encoding="utf-8")
            tables = tomllib.loads(text)
        except (OSError, ValueError) as error:  # no UTF-8, no TOML, a whole number of thousands of digits
            self.faults.append(f"{shown}: {error}")
            return
        except RecursionError:
            self.faults.append(f"{shown}: values are nested too deep to be read")
            return
        places = _places(text, shown)
        self._check_keys(tables, _TOP_KEYS, shown, "")
        family = self._family(tables.get("family"), (places["family"] or [_Place(shown, 1, [])])[0])
        if family is not None:
            self.rules = [(at, r) for at, r in self.rules if at == level or r.adjust is None or r.adjust.family != family]
        for key, read in self._readers():
            entries = tables.get(key, [])
            if not isinstance(entries, list):
                self.faults.append(f"{shown}: write [[{key}]], not [{key}]")
                continue
            for index, table in enumerate(entries):
                place = places[key][index] if index < len(places[key]) else _Place(shown, 1, [])
                if not isinstance(table, Mapping):
                    self.faults.append(f"{place}: {key} {index + 1} is no table: write [[{key}]]")
                    continue
                if read is not None:
                    read(table, place)
                else:
                    self._rule(table, place, level, family)

    def _readers(self) -> tuple[tuple[str, Callable[[Mapping[str, Any], _Place], None] | None], ...]:
        """The kinds of entry that a file may list, each with what reads one; rules need more than their table."""
        return (
            ("strategy", self._strategy),
            ("role", self._role),
            ("recipe", self._recipe),
            ("lint", self._lint),
            ("finding", self._diagnosis),
            ("lesson", self._lesson),
            ("rule", None),
        )

    def _check_keys(self, table: Mapping[str, Any], known: Iterable[str], where: str, about: str) -> None:
        known = tuple(known)
        for key in table:
            if key not in known:
                self.faults.append(f"{where}: {about}unknown key {key!r}. {nearest(key, known)}")

    def _predicates(self, tables: Any, place: _Place, about: str) -> tuple[Predicate, ...]:
        out: list[Predicate] = []
        if not isinstance(tables, list):
            self.faults.append(f"{place}: {about}needs a list of conditions")
            return ()
        for table in tables:
            if not isinstance(table, Mapping):
                self.faults.append(f'{place.of("when")}: {about}a condition is a table with fact = "…", got {table!r}')
                continue
            try:
                out.append(parse_predicate(table))
            except (ValueError, AttributeError) as error:
                self.faults.append(f"{place.of(str(table.get('fact', '')))}: {about}{error}")
        return tuple(out)

    def _strategy(self, table: Mapping[str, Any], place: _Place) -> None:
        name = str(table.get("name", ""))
        about = f"strategy {name!r}: "
        self._check_keys(table, _STRATEGY_KEYS, str(place), about)
        if name not in tuple(Strategy):
            self.faults.append(f"{place.of('name')}: unknown strategy {name!r}. {nearest(name, list(Strategy))}")
            return
        for key in ("engine", "because", "source"):
            if not table.get(key):
                self.faults.append(f"{place}: {about}{key} is missing")
        before = self.strategies.get(Strategy(name))
        requires = (*(before.requires if before is not None else ()), *self._predicates(table.get("requires", []), place, about))
        self.strategies[Strategy(name)] = StrategyEntry(
            strategy=Strategy(name),
            engine=str(table.get("engine", "")),
            requires=tuple(dict.fromkeys(requires)),
            needs=self._predicates(table.get("needs", []), place, about),
            settings=decode(table.get("settings", {})),
            because=str(table.get("because", "")),
            source=str(table.get("source", "")),
            place=str(place),
            examples=self._examples(table.get("example", []), place, about),
            table=table,
        )

    def _family(self, table: Any, place: _Place) -> str | None:
        if table is None:
            return None
        if not isinstance(table, Mapping):
            self.faults.append(f"{place}: write [family], not [[family]]")
            return None
        name = str(table.get("name", ""))
        plain = dict(table)
        if isinstance(plain.get("space"), Mapping):
            plain["space"] = {"parameters": plain["space"]}
        if "seed_argument" in plain:
            plain["seed_argument"] = decode(plain["seed_argument"])
        try:
            family = Family.model_validate(plain)
        except ValidationError as error:
            for wrong in error.errors():
                path = ".".join(str(p) for p in wrong["loc"] if p != "parameters")
                hint = f" {nearest(str(wrong['loc'][-1]), Family.model_fields)}" if wrong["type"] == "extra_forbidden" else ""
                self.faults.append(
                    f"{place.of(str(wrong['loc'][-1]) if wrong['loc'] else '')}: family {name!r}: {path}: {wrong['msg']}.{hint}"
                )
            return None
        for key in ("source", "starts_source"):
            if not getattr(family, key) and (key == "source" or family.starts):
                self.faults.append(f"{place}: family {name!r}: {key} is missing")
        if not family.cost.source:
            self.faults.append(f"{place.of('cost')}: family {name!r}: cost.source is missing")
        default = family.space.default()
        for index, start in enumerate(({}, *family.starts)):
            for fault in family.space.faults(family.space.active({**default, **start}) | dict(start)):
                where = "the default" if index == 0 else f"start {index}"
                self.faults.append(f"{place.of('starts')}: family {name!r}: {where}: {fault}")
        self.families[name] = family
        self.family_files[name] = str(place)
        return name

    def _role(self, table: Mapping[str, Any], place: _Place) -> None:
        role = self._page(Role, table, place, f"role {str(table.get('name', ''))!r}")
        if role is not None:
            self.roles[role.name] = role

    def _recipe(self, table: Mapping[str, Any], place: _Place) -> None:
        recipe = self._page(Recipe, table, place, f"recipe {str(table.get('name', ''))!r}")
        if recipe is not None:
            self.recipes[recipe.name] = recipe

    def _lint(self, table: Mapping[str, Any], place: _Place) -> None:
        about = f"finding {str(table.get('id', ''))!r}"
        entry = self._page(Lint, {**table, "place": str(place)}, place, about)
        if entry is None:
            return
        self.faults += [f"{place}: {about}: {fault}" for fault in entry.faults()]
        self.lints[entry.id] = entry

    def _diagnosis(self, table: Mapping[str, Any], place: _Place) -> None:
        about = f"finding {str(table.get('id', ''))!r}"
        entry = self._page(Diagnosis, {**table, "place": str(place)}, place, about)
        if entry is None:
            return
        self.faults += [f"{place}: {about}: {fault}" for fault in entry.faults()]
        self.diagnoses[entry.id] = entry

    def _lesson(self, table: Mapping[str, Any], place: _Place) -> None:
        taught = self._page(Lesson, {**table, "place": str(place)}, place, f"lesson {str(table.get('name', ''))!r}")
        if taught is not None:
            self.lessons["/".join((taught.name, *taught.families))] = taught

    def _page(self, model: type[_Page], table: Any, place: _Place, about: str) -> _Page | None:
        try:
            return model.model_validate(table)
        except ValidationError as error:
            for wrong in error.errors():
                path = ".".join(str(p) for p in wrong["loc"])
                hint = f" {nearest(str(wrong['loc'][-1]), model.model_fields)}" if wrong["type"] == "extra_forbidden" else ""
                self.faults.append(f"{place.of(str(wrong['loc'][-1]) if wrong['loc'] else '')}: {about}: {path}: {wrong['msg']}.{hint}")
            return None

    def _check_recipes(self) -> None:
        """A recipe, a finding's sibling and a lesson may only name roles that there are."""
        for entry in self.diagnoses.values():
            unknown = [o for o in entry.overrides if o not in self.diagnoses]
            self.faults += [
                f"{entry.place}: finding {entry.id!r}: overrides unknown finding {o!r}. {nearest(o, self.diagnoses)}" for o in unknown
            ]
        named = [(f"finding {x.id!r}", x.sibling.roles if x.sibling is not None else ()) for x in self.lints.values()]
        named += [(f"lesson {x.name!r}", x.roles) for x in self.lessons.values()]
        for about, roles in named:
            self.faults += [f"{about}: unknown role {role!r}. {nearest(role, self.roles)}" for role in roles if role not in self.roles]
        for recipe in self.recipes.values():
            for role in (*recipe.needs, *recipe.some, *recipe.without, *(r for s in recipe.starts for r in s.values)):
                if role not in self.roles:
                    self.faults.append(f"recipe {recipe.name!r}: unknown role {role!r}. {nearest(role, self.roles)}")

    def _rule(self, table: Mapping[str, Any], place: _Place, level: int, family: str | None) -> None:
        name = str(table.get("id", ""))
        about = f"rule {name!r}: "
        before = len(self.faults)
        self._check_keys(table, _RULE_KEYS, str(place), about)
        for key in ("id", "because", "source"):
            if not table.get(key) or not isinstance(table[key], str):
                self.faults.append(f"{place}: {about}{key} is missing")
        if (name, level) in self.ids:
            self.faults.append(f"{place}: the id {name!r} is used twice; first at {self.ids[name, level]}")
        self.ids.setdefault((name, level), str(place))
        effects = [e for e in _EFFECTS if e in table]
        if len(effects) != 1:
            self.faults.append(f"{place}: {about}write exactly one of {', '.join(_EFFECTS)}")
            return
        kind = effects[0]
        for key, wanted, told in (("overrides", list, "a list of ids"), *((k, *_SHAPES[k]) for k in (kind,) if k in _SHAPES)):
            if key in table and not isinstance(table[key], wanted):
                self.faults.append(f"{place.of(key)}: {about}{key} needs {told}")
        if len(self.faults) > before:
            return
        when = self._predicates(table.get("when", []), place, about)
        examples = self._examples(table.get("example", []), place, about)
        effect = self._effect(kind, table[kind], place, about, family)
        evidence = self._page(Measured, table["evidence"], place, f"rule {name!r}: evidence") if "evidence" in table else None
        if when and not examples:
            self.faults.append(f"{place}: {about}example is missing")
        if len(self.faults) > before:
            return
        overrides = tuple(map(str, table.get("overrides", ())))
        rule = Rule(
            id=name,
            place=str(place),
            when=when,
            because=table["because"],
            source=table["source"],
            examples=examples,
            overrides=overrides,
            level=level,
            evidence=evidence,
            table=table,
            **effect,
        )
        for example in examples:
            said = rule.verdict(Given(example.given))
            if said is not example.verdict:
                shown = ", ".join(f"{k} = {v}" for k, v in example.given.items()) or "nothing given"
                self.faults.append(f"{place.of('verdict')}: {about}the example ({shown}) says {example.verdict}, the conditions say {said}")
        self.rules.append((level, rule))

    def _examples(self, tables: Any, place: _Place, about: str) -> tuple[Example, ...]:
        out = []
        known = vocabulary()
        if not isinstance(tables, list):
            self.faults.append(f"{place.of('example')}: {about}example needs a list of tables")
            return ()
        for table in tables:
            if not isinstance(table, Mapping) or not isinstance(table.get("given", {}), Mapping):
                self.faults.append(f"{place.of('example')}: {about}an example is a table, and what is given in it another")
                continue
            self._check_keys(table, ("given", "verdict", "gives"), str(place), f"{about}example: ")
            given: dict[str, Any] = {}
            for fact, value in dict(table.get("given", {})).items():
                if fact not in known:
                    self.faults.append(f"{place.of(fact)}: {about}example: unknown fact {fact!r}. {nearest(fact, known)}")
                    continue
                try:
                    given[fact] = known[fact].parse(value)
                except ValueError as error:
                    self.faults.append(f"{place.of(fact)}: {about}example: {error}")
            verdict = str(table.get("verdict", ""))
            if verdict not in tuple(Verdict):
                self.faults.append(f"{place.of('verdict')}: {about}example: unknown verdict {verdict!r}. {nearest(verdict, list(Verdict))}")
                continue
            out.append(Example(given, Verdict(verdict), table.get("gives")))
        return tuple(out)

    def _effect(self, kind: str, value: Any, place: _Place, about: str, family: str | None) -> dict[str, Any]:
        where = place.of(kind)
        match kind:
            case "recommend":
                if value not in tuple(Strategy):
                    self.faults.append(f"{where}: {about}unknown strategy {value!r}. {nearest(str(value), list(Strategy))}")
                    return {}
                return {"recommend": Strategy(value)}
            case "shortlist":
                return {"shortlist": tuple(map(str, value))}
            case "advise":
                return {"advise": str(value)}
            case "set":
                for name, wanted in value.items():
                    if name not in FIELDS:
                        self.faults.append(f"{place.of(name)}: {about}unknown field {name!r}. {nearest(name, FIELDS)}")
                    elif fault := FIELDS[name].fault(wanted):
                        self.faults.append(f"{place.of(name)}: {about}{fault}")
                return {"sets": dict(value)}
        return {"adjust": self._adjust(value, place, about, family)}

    def _adjust(self, table: Mapping[str, Any], place: _Place, about: str, family: str | None) -> Adjustment | None:
        self._check_keys(table, _ADJUST_KEYS, place.of("adjust"), about)
        if family is None:
            self.faults.append(f"{place.of('adjust')}: {about}adjust belongs into the file of a family")
            return None
        parameter = str(table.get("parameter", ""))
        shape = self.families[family]
        known = [*shape.space.parameters, *shape.fixed]
        if parameter not in known:
            self.faults.append(f"{place.of('parameter')}: {about}{family} has no {parameter!r}. {nearest(parameter, known)}")
            return None
        bounds: dict[str, Any] = {key: self._bound(table[key], place, about) for key in ("low", "high", "unit") if key in table}
        if isinstance(table.get("fix"), Mapping):
            bounds["fix"] = self._bound(table["fix"], place, about)
        bounds |= {key: table[key] for key in ("fix", "default") if key in table and not isinstance(table[key], Mapping)}
        if parameter in shape.fixed and ("low" in bounds or "high" in bounds):
            self.faults.append(f"{place.of('parameter')}: {about}{parameter} is fixed: use fix")
        found = shape.space.parameters.get(parameter)
        if ("low" in bounds or "high" in bounds) and found is not None and not isinstance(found, Float | Int):
            self.faults.append(f"{place.of('parameter')}: {about}{parameter} is a choice and has no bounds")
        if "fix" in bounds and parameter not in shape.fixed:
            self.faults.append(f"{place.of('parameter')}: {about}{parameter} is searched: use low, high, default or freeze")
        if "default" in bounds and found is not None and not found.contains(bounds["default"]):
            self.faults.append(f"{place.of('default')}: {about}{bounds['default']!r} lies outside {parameter}")
        return Adjustment(family=family, parameter=parameter, freeze=bool(table.get("freeze", False)), **bounds)

    def _bound(self, value: Any, place: _Place, about: str) -> float | Bound | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if not isinstance(value, Mapping):
            self.faults.append(f"{place.of('adjust')}: {about}a bound is a number or {{fact = …, times = …}}, got {value!r}")
            return None
        self._check_keys(value, _BOUND_KEYS, place.of("adjust"), about)
        name = str(value.get("fact", ""))
        known = vocabulary()
        if name not in known or not known[name].is_number:
            self.faults.append(f"{place.of(name)}: {about}a bound follows a fact that is a number. {nearest(name, known)}")
            return None
        return Bound(**{k: v for k, v in value.items() if k in _BOUND_KEYS})

    def finish(self) -> Rulebook:
        names = {r.id for _, r in self.rules} | {name for name, _ in self.ids}
        self._check_recipes()
        for _, rule in self.rules:
            for wanted in rule.overrides:
                if wanted not in names:
                    self.faults.append(
                        f"{rule.place}: rule {rule.id!r}: overrides unknown rule {wanted!r}. {nearest(wanted, sorted(names))}"
                    )
            for family in rule.shortlist:
                if family not in self.families:
                    self.faults.append(f"{rule.place}: rule {rule.id!r}: unknown family {family!r}. {nearest(family, self.families)}")
        if not self.faults:
            for strategy in Strategy:
                if strategy not in self.strategies:
                    self.faults.append(f"strategy.toml: no [[strategy]] entry for {strategy}")
        if self.faults:
            raise RulebookError(self.faults)
        ordered = _in_force(self.rules)
        return Rulebook(
            strategies={s: self.strategies[s] for s in Strategy},
            strategy_rules=tuple(r for r in ordered if r.recommend is not None),
            shortlist_rules=tuple(r for r in ordered if r.shortlist),
            field_rules=tuple(r for r in ordered if r.sets),
            tips=tuple(r for r in ordered if r.advise),
            adjustments=tuple(r for r in ordered if r.adjust is not None),
            families=dict(sorted(self.families.items())),
            family_sources=dict(sorted(self.family_files.items())),
            roles=tuple(self.roles.values()),
            recipes=tuple(self.recipes.values()),
            lints=tuple(self.lints.values()),
            diagnoses=tuple(self.diagnoses.values()),
            lessons=tuple(self.lessons.values()),
        )


def _in_force(rules: list[tuple[int, Rule]]) -> list[Rule]:
    """Rules in order, local ones in the place of what they override, else before everything shipped."""
    out = [rule for level, rule in rules if level == 0]
    for level in sorted({level for level, _ in rules} - {0}):
        local = [rule for at, rule in rules if at == level]
        earlier = {r.id for r in out}
        front: list[Rule] = []
        for rule in local:
            replaced = [i for i in (rule.id, *rule.overrides) if i in earlier]
            if not replaced:
                front.append(rule)
                continue
            first = min(i for i, r in enumerate(out) if r.id in replaced)
            out = [*out[:first], rule, *(r for r in out[first:] if r.id not in replaced)]
            earlier -= set(replaced)
        out = [*front, *out]
    return out
