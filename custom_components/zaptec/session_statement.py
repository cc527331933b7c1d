"""Statements of completed sessions: as data for templates, or as a table for spreadsheets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
import math
import re
from typing import Any

from homeassistant.util import dt as dt_util

from .session_records import SessionRecord

# Number of decimals of an energy (kWh): whole watt hours.
DECIMALS = 3

# The mark with which a text in UTF-8 begins. Without it, Excel takes the text for one in
# another encoding.
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

# What a cell begins with that may be carried out as a formula. If a spreadsheet assumes
# another separator, a cell begins after that, too.
_FORMULA = re.compile(r'(^|[,;])([\s"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])')

# Countries whose numbers have a decimal point. All others have a comma.
_POINT_COUNTRIES = {"AU", "CA", "CH", "GB", "IE", "IN", "LI", "MT", "NZ", "SG", "US"}


class GroupBy(StrEnum):
    """What the sessions of a statement are added up by."""

    NONE = "none"
    CHARGER = "charger"
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
            language: The language, which has to do if the country is not known.

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


type Group = tuple[str, list[SessionRecord]]
"""What the records have in common, and the records."""


class Statement:
    """The sessions of a period, the first to end first."""

    def __init__(
        self,
        records: Iterable[SessionRecord],
        *,
        name: Callable[[str], str],
        group_by: GroupBy,
    ) -> None:
        """Initialize the statement; this takes a while for many sessions.

        Args:
            records: The sessions.
            name: Returns the name of a charger.
            group_by: What the sessions are added up by.

        """
        self._name = name
        self._records = sorted(records, key=lambda item: (item.end, item.charger_id))
        self._group_by = group_by
        self._groups = self._grouped()

    def _grouped(self) -> list[Group]:
        """Return the sessions of each charger, day or month."""
        groups: dict[str, list[SessionRecord]] = {}
        for record in self._records:
            groups.setdefault(self._group(record), []).append(record)
        if self._group_by is GroupBy.CHARGER:
            return sorted(
                groups.items(), key=lambda group: (self._name(group[0]), group[0])
            )
        return list(groups.items())

    def _group(self, record: SessionRecord) -> str:
        """Return what a session is added up by: a charger, or the day of its end."""
        if self._group_by is GroupBy.CHARGER:
            return record.charger_id
        day = dt_util.as_local(record.end).date()
        return f"{day:%Y-%m}" if self._group_by is GroupBy.MONTH else f"{day}"

    def as_data(self) -> dict[str, Any]:
        """Return the statement for templates."""
        data: dict[str, Any] = {"totals": _totals(self._records)}
        if self._group_by is GroupBy.NONE:
            data["sessions"] = [self._session(record) for record in self._records]
        else:
            data["groups"] = [
                {**self._label(group), **_totals(records)}
                for group, records in self._groups
            ]
        return data

    def _label(self, group: str) -> dict[str, str]:
        """Return what the sessions of a group have in common."""
        if self._group_by is GroupBy.CHARGER:
            return {"charger": self._name(group), "charger_id": group}
        return {self._group_by.value: group}

    def _session(self, record: SessionRecord) -> dict[str, Any]:
        """Return a session for templates."""
        return {
            "start": _moment(record.start),
            "end": _moment(record.end),
            "charger": self._name(record.charger_id),
            "charger_id": record.charger_id,
            "energy": round(record.energy, DECIMALS),
            "meter_start": _rounded(record.meter_start),
            "meter_end": _rounded(record.meter_end),
            "flags": [flag.value for flag in record.flags],
        }

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
        table.add_headings(
            "start", "end", "charger", "energy", "meter_start", "meter_end", "flags"
        )
        for record in self._records:
            table.add(
                table.time(record.start),
                table.time(record.end),
                table.words(self._name(record.charger_id)),
                table.number(record.energy),
                table.number(record.meter_start),
                table.number(record.meter_end),
                table.flags(record.flags),
            )
        total = _totals(self._records)
        table.add(table.word("total"), "", "", table.number(total["energy"]))

    def _add_groups(self, table: _Table) -> None:
        """Add a line for each group."""
        table.add_headings(self._group_by.value, "sessions", "energy")
        lines = [
            (
                table.words(self._name(group))
                if self._group_by is GroupBy.CHARGER
                else group,
                _totals(records),
            )
            for group, records in self._groups
        ]
        for label, total in (*lines, (table.word("total"), _totals(self._records))):
            table.add(label, str(total["sessions"]), table.number(total["energy"]))


class _Table:
    """The text of a table, line by line."""

    def __init__(self, table_format: TableFormat) -> None:
        """Initialize without a line."""
        self._format = table_format
        self._lines: list[str] = []
        self._columns = 0

    @property
    def text(self) -> str:
        """Return the text; its lines end as RFC 4180 has it."""
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

    def number(self, value: float | None) -> str:
        """Return the cell of an energy (kWh)."""
        if value is None:
            return ""
        sign = self._format.decimal_sign.sign
        text = f"{value:.{DECIMALS}f}".replace(".", sign)
        return _quoted(text) if self._format.separator.sign == sign else text


def _quoted(text: str) -> str:
    """Return a cell in quotes, so that it may contain any separator."""
    return '"{}"'.format(text.replace('"', '""'))


def _moment(moment: datetime | None) -> str | None:
    """Return a moment in local time, with its difference to UTC."""
    return dt_util.as_local(moment).isoformat() if moment else None


def _rounded(energy: float | None) -> float | None:
    """Return an energy (kWh) without digits that mean nothing."""
    return None if energy is None else round(energy, DECIMALS)


def _totals(records: Sequence[SessionRecord]) -> dict[str, Any]:
    """Return the number of sessions, and their energy (kWh)."""
    energy = math.fsum(record.energy for record in records)
    return {"sessions": len(records), "energy": round(energy, DECIMALS)}
