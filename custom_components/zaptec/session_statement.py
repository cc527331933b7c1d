"""Statements of completed sessions: as data for templates, or as a table for spreadsheets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
import math
import re
from typing import Any, overload

from homeassistant.util import dt as dt_util

from .session_records import SessionRecord

# Number of decimals of an energy (kWh): whole watt hours.
DECIMALS = 3

# Number of decimals of a cost.
COST_DECIMALS = 2

# Number of decimals of a difference to UTC (h). In a few countries it has quarters.
OFFSET_DECIMALS = 2

# The mark with which a text in UTF-8 begins. Without it, Excel takes the text for one in
# another encoding.
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

# What a cell begins with that may be carried out as a formula. If a spreadsheet assumes
# another separator, a cell begins after that, too.
_FORMULA = re.compile(r'(^|[,;])([\s"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])')

# Countries whose numbers have a decimal point: those in which chargers are sold, and the
# largest of the others. All others have a comma.
_POINT_COUNTRIES = {
    *("AE", "AU", "CA", "CH", "CN", "GB", "HK", "IE", "IL", "IN", "JP", "KE", "KR"),
    *("LI", "MT", "MX", "MY", "NG", "NZ", "PH", "PK", "SG", "TH", "TW", "US"),
}

# Countries with a decimal point whose spreadsheets expect a semicolon between cells.
_POINT_AND_SEMICOLON_COUNTRIES = {"CH", "LI"}


class GroupBy(StrEnum):
    """What the sessions of a statement are added up by."""

    NONE = "none"
    CHARGER = "charger"
    PERSON = "person"
    DAY = "day"
    MONTH = "month"


class Separator(StrEnum):
    """What separates two cells of a table."""

    COMMA = "comma"
    SEMICOLON = "semicolon"
    TAB = "tab"

    @property
    def sign(self) -> str:
        """Return the character."""
        return {"comma": ",", "semicolon": ";", "tab": "\t"}[self]

    @classmethod
    def of_country(cls, country: str | None, decimal_sign: DecimalSign) -> Separator:
        """Return the separator that spreadsheets of a country expect.

        Args:
            country: The country, None if it is not known.
            decimal_sign: The sign before the decimals, which is no separator.

        """
        is_semicolon = (
            decimal_sign is DecimalSign.COMMA
            or country in _POINT_AND_SEMICOLON_COUNTRIES
        )
        return cls.SEMICOLON if is_semicolon else cls.COMMA


class DecimalSign(StrEnum):
    """What separates the decimals of a number."""

    POINT = "point"
    COMMA = "comma"

    @property
    def sign(self) -> str:
        """Return the character."""
        return {"point": ".", "comma": ","}[self]

    @classmethod
    def of_country(cls, country: str | None, language: str) -> DecimalSign:
        """Return the sign that spreadsheets of a country expect.

        Args:
            country: The country, None if it is not known.
            language: The language, which decides if the country is not known.

        """
        is_point = country in _POINT_COUNTRIES if country else language.startswith("en")
        return cls.POINT if is_point else cls.COMMA


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """How the text of a table is written."""

    separator: Separator
    decimal_sign: DecimalSign
    has_byte_order_mark: bool
    words: Mapping[str, str]
    """The headings and flags by their keys, in the language of the reader."""


type Group = tuple[str | None, list[SessionRecord]]
"""What the records have in common, and the records; None for those of no person.

Persons of two accounts who have the same name are one person.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of chargers and persons by their ids."""

    chargers: Mapping[str, str]
    persons: Mapping[str, str] = field(default_factory=dict)
    """Empty if the user has added none: then no statement mentions persons."""


class Statement:
    """The sessions of a period, the first to end first.

    Each session has whole watt hours and whole cents, and everything is added up from
    these. So the rows of a statement have the sum that is its total, and two statements
    about the same sessions have the same total.
    """

    def __init__(
        self,
        records: Iterable[SessionRecord],
        *,
        names: Names,
        group_by: GroupBy,
        has_cost: bool = False,
    ) -> None:
        """Initialize the statement; this takes a while for many sessions.

        Args:
            records: The sessions.
            names: The names of chargers and persons.
            group_by: What the sessions are added up by.
            has_cost: Whether the user has chosen a price.

        """
        self._names = names
        self._records = sorted(
            map(_in_whole_units, records), key=lambda item: (item.end, item.charger_id)
        )
        self._group_by = group_by
        self._has_cost = has_cost
        self._groups = self._grouped()

    def _grouped(self) -> list[Group]:
        """Return the sessions of each charger, person, day or month."""
        groups: dict[str | None, list[SessionRecord]] = {}
        for record in self._records:
            groups.setdefault(self._group(record), []).append(record)
        if self._group_by in (GroupBy.CHARGER, GroupBy.PERSON):
            return sorted(
                groups.items(),
                key=lambda group: (
                    group[0] is None,
                    self._group_name(group[0]) or "",
                    group[0] or "",
                ),
            )
        return list(groups.items())

    def _group(self, record: SessionRecord) -> str | None:
        """Return what a session is added up by: its charger, its person, or the day it ended."""
        if self._group_by is GroupBy.CHARGER:
            return record.charger_id
        if self._group_by is GroupBy.PERSON:
            return self._person(record)
        day = dt_util.as_local(record.end).date()
        return f"{day:%Y-%m}" if self._group_by is GroupBy.MONTH else f"{day}"

    def _group_name(self, group: str | None) -> str | None:
        """Return the name of what a group has in common."""
        if group is not None and self._group_by is GroupBy.CHARGER:
            return self._names.chargers[group]
        return group

    def _person(self, record: SessionRecord) -> str | None:
        """Return the name of the person who has charged, None if it is not known."""
        return self._names.persons.get(record.person_id or "")

    def as_data(self) -> dict[str, Any]:
        """Return the statement for templates."""
        data: dict[str, Any] = {"totals": self._totals(self._records)}
        if self._group_by is GroupBy.NONE:
            data["sessions"] = [self._session(record) for record in self._records]
        else:
            data["groups"] = [
                {**self._label(group), **self._totals(records)}
                for group, records in self._groups
            ]
        return data

    def _label(self, group: str | None) -> dict[str, str | None]:
        """Return what the sessions of a group have in common."""
        label = {self._group_by.value: self._group_name(group)}
        if self._group_by is GroupBy.CHARGER:
            label["charger_id"] = group
        return label

    def _session(self, record: SessionRecord) -> dict[str, Any]:
        """Return a session for templates."""
        return {
            "start": _moment(record.start),
            "end": _moment(record.end),
            "charger": self._names.chargers[record.charger_id],
            "charger_id": record.charger_id,
            **({"person": self._person(record)} if self._names.persons else {}),
            "energy": record.energy,
            **({"cost": record.cost} if self._has_cost else {}),
            "meter_start": record.meter_start,
            "meter_end": record.meter_end,
            "flags": [flag.value for flag in record.flags],
        }

    def _totals(self, records: Sequence[SessionRecord]) -> dict[str, Any]:
        """Return the number of sessions, their energy (kWh), and their cost if known."""
        totals: dict[str, Any] = {
            "sessions": len(records),
            "energy": round(math.fsum(record.energy for record in records), DECIMALS),
        }
        if self._has_cost:
            known = [record.cost for record in records if record.cost is not None]
            # If no cost is known, a sum of 0 would be wrong.
            totals["cost"] = (
                round(math.fsum(known), COST_DECIMALS) if known or not records else None
            )
            totals["without_cost"] = len(records) - len(known)
        return totals

    def as_table(self, table_format: TableFormat) -> str:
        """Return the statement as the text of a table (CSV), with a line of totals."""
        table = _Table(table_format)
        if self._group_by is GroupBy.NONE:
            self._add_sessions(table)
        else:
            self._add_groups(table)
        return table.text

    def _add_sessions(self, table: _Table) -> None:
        """Add a line for each session."""
        person = ["person"] if self._names.persons else []
        cost = ["cost"] if self._has_cost else []
        table.add_headings(
            *("start", "end", "charger", *person, "energy", *cost),
            *("meter_start", "meter_end", "flags", "start_offset", "end_offset"),
        )
        for record in self._records:
            table.add(
                table.time(record.start),
                table.time(record.end),
                table.words(self._names.chargers[record.charger_id]),
                *([table.words(self._person(record) or "")] if person else []),
                table.number(record.energy),
                *([table.number(record.cost, COST_DECIMALS)] if cost else []),
                table.number(record.meter_start),
                table.number(record.meter_end),
                table.flags(record.flags),
                table.offset(record.start),
                table.offset(record.end),
            )
        empty = [""] * (2 + len(person))
        table.add(table.word("total"), *empty, *self._sums(table, self._records))

    def _sums(self, table: _Table, records: Sequence[SessionRecord]) -> list[str]:
        """Return the cells of the energy and the cost of some sessions."""
        totals = self._totals(records)
        sums = [table.number(totals["energy"])]
        if self._has_cost:
            sums.append(table.number(totals["cost"], COST_DECIMALS))
        return sums

    def _add_groups(self, table: _Table) -> None:
        """Add a line for each group."""
        cost = ["cost", "without_cost"] if self._has_cost else []
        table.add_headings(self._group_by.value, "sessions", "energy", *cost)
        rows = [(self._cell(table, group), records) for group, records in self._groups]
        for label, records in (*rows, (table.word("total"), self._records)):
            without_cost = self._totals(records).get("without_cost")
            table.add(
                label,
                str(len(records)),
                *self._sums(table, records),
                *([str(without_cost)] if cost else []),
            )

    def _cell(self, table: _Table, group: str | None) -> str:
        """Return the cell of what a group has in common."""
        name = self._group_name(group)
        match self._group_by:
            case GroupBy.DAY:
                return name or ""
            case GroupBy.MONTH:
                # Spreadsheets differ in what they take a year and a month for.
                return f"{name}-01"
        return table.word("no_person") if name is None else table.words(name)


class _Table:
    """The text of a table, line by line."""

    def __init__(self, table_format: TableFormat) -> None:
        """Initialize without a line."""
        self._format = table_format
        self._lines: list[str] = []
        self._columns = 0

    @property
    def text(self) -> str:
        """Return the text; its lines end as RFC 4180 requires."""
        text = "".join(f"{line}\r\n" for line in self._lines)
        return BYTE_ORDER_MARK + text if self._format.has_byte_order_mark else text

    def add_headings(self, *keys: str) -> None:
        """Add the headings of the columns."""
        self._columns = len(keys)
        self.add(*map(self.word, keys))

    def add(self, *cells: str) -> None:
        """Add a line, whose last cells may be missing."""
        missing = [""] * (self._columns - len(cells))
        self._lines.append(self._format.separator.sign.join((*cells, *missing)))

    def word(self, key: str) -> str:
        """Return the cell of a heading."""
        return self.words(self._format.words.get(key) or key)

    def words(self, text: str) -> str:
        """Return the cell of a text, which is never carried out as a formula."""
        return _quoted(_FORMULA.sub(r"\1\2'", " ".join(text.split())))

    def flags(self, flags: Sequence[str]) -> str:
        """Return the cell of the flags of a session."""
        known = self._format.words
        return (
            self.words(", ".join(known.get(flag) or flag for flag in flags))
            if flags
            else ""
        )

    def time(self, moment: datetime | None) -> str:
        """Return the cell of a moment in local time, as spreadsheets recognize it."""
        return f"{dt_util.as_local(moment):%Y-%m-%d %H:%M:%S}" if moment else ""

    def offset(self, moment: datetime | None) -> str:
        """Return the cell of the difference of local time to UTC (h)."""
        offset = dt_util.as_local(moment).utcoffset() if moment else None
        hours = None if offset is None else offset / timedelta(hours=1)
        return self.number(hours, OFFSET_DECIMALS)

    def number(self, value: float | None, decimals: int = DECIMALS) -> str:
        """Return the cell of an energy (kWh), or of another number."""
        if value is None:
            return ""
        sign = self._format.decimal_sign.sign
        # Without a sign before 0.
        text = f"{value:z.{decimals}f}".replace(".", sign)
        return _quoted(text) if self._format.separator.sign == sign else text


def _quoted(text: str) -> str:
    """Return a cell in quotes, so that it may contain any separator."""
    return '"{}"'.format(text.replace('"', '""'))


def _moment(moment: datetime | None) -> str | None:
    """Return a moment in local time, with its difference to UTC."""
    return dt_util.as_local(moment).isoformat() if moment else None


def _in_whole_units(record: SessionRecord) -> SessionRecord:
    """Return a session in whole watt hours and cents."""
    return replace(
        record,
        energy=_rounded(record.energy, DECIMALS),
        cost=_rounded(record.cost, COST_DECIMALS),
        meter_start=_rounded(record.meter_start, DECIMALS),
        meter_end=_rounded(record.meter_end, DECIMALS),
    )


@overload
def _rounded(value: float, decimals: int) -> float: ...


@overload
def _rounded(value: float | None, decimals: int) -> float | None: ...


def _rounded(value: float | None, decimals: int) -> float | None:
    """Return a number with some decimals, rounded as on paper: a half is rounded up.

    A product of floats that is half a cent on paper may be a little less.
    """
    if value is None:
        return None
    exact = Decimal(repr(round(value, 9)))
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    # Without a sign before 0.
    return float(rounded) + 0.0
