"""Statements of sessions: as data, and as tables that a spreadsheet opens."""

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
import io
from itertools import product
import re
from typing import Any

from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.session_records import Flag, SessionRecord
from custom_components.zaptec.session_statement import (
    DecimalSign,
    GroupBy,
    Names,
    Separator,
    Statement,
    TableFormat,
)

GARAGE, CARPORT = "id-1", "id-2"
NAMES = {GARAGE: "Garage", CARPORT: "Carport"}
START = datetime(2026, 10, 31, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _time_zone() -> Any:
    """Let the days begin before those of UTC."""
    before = dt_util.get_default_time_zone()
    zone = dt_util.get_time_zone("Europe/Oslo")
    assert zone
    dt_util.set_default_time_zone(zone)
    yield
    dt_util.set_default_time_zone(before)


def record(hours: float, energy: float, **fields: Any) -> SessionRecord:
    """Return a session that ends some hours after START."""
    end = START + timedelta(hours=hours)
    return SessionRecord(
        **{"charger_id": GARAGE, "start": START, "end": end, "energy": energy} | fields
    )


RECORDS = [
    record(3.5, 3.0, meter_start=100.0, meter_end=103.0, flags=(Flag.OFFLINE,)),
    record(2, 1.5, charger_id=CARPORT),
    record(1, 2.0004),
]


def statement(
    group_by: GroupBy = GroupBy.NONE,
    records: list[SessionRecord] = RECORDS,
    names: dict[str, str] = NAMES,
) -> Statement:
    """Return a statement."""
    return Statement(records, names=Names(chargers=names), group_by=group_by)


def table_format(
    separator: Separator = Separator.SEMICOLON,
    decimal_sign: DecimalSign = DecimalSign.COMMA,
    **fields: Any,
) -> TableFormat:
    """Return the format of a table without a mark."""
    defaults: dict[str, Any] = {"has_byte_order_mark": False, "words": {}}
    return TableFormat(
        separator=separator, decimal_sign=decimal_sign, **defaults | fields
    )


def cells(text: str, delimiter: str = ";") -> list[list[str]]:
    """Return the cells of a table, as a spreadsheet reads them."""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_sessions_as_data() -> None:
    """Sessions are listed in the order of their ends, in local time."""
    data = statement().as_data()
    assert data["totals"] == {"sessions": 3, "energy": 6.5}
    assert [item["energy"] for item in data["sessions"]] == [2.0, 1.5, 3.0]
    assert data["sessions"][2] == {
        "start": "2026-10-31T21:00:00+01:00",
        "end": "2026-11-01T00:30:00+01:00",
        "charger": "Garage",
        "charger_id": GARAGE,
        "energy": 3.0,
        "meter_start": 100.0,
        "meter_end": 103.0,
        "flags": ["offline"],
    }


def test_what_is_not_known() -> None:
    """A start and readings that are not known are null, and empty cells of a table."""
    records = [record(1, 2.0, start=None)]
    [session] = statement(records=records).as_data()["sessions"]
    assert (session["start"], session["meter_start"], session["meter_end"]) == (
        None,
        None,
        None,
    )
    line = cells(statement(records=records).as_table(table_format()))[1]
    assert line == [
        *("", "2026-10-31 22:00:00", "Garage", "2,000"),
        *("", "", "", "", "1,00"),
    ]


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [
        (
            GroupBy.CHARGER,
            [
                {
                    "charger": "Carport",
                    "charger_id": CARPORT,
                    "sessions": 1,
                    "energy": 1.5,
                },
                {
                    "charger": "Garage",
                    "charger_id": GARAGE,
                    "sessions": 2,
                    "energy": 5.0,
                },
            ],
        ),
        (
            GroupBy.DAY,
            [
                {"day": "2026-10-31", "sessions": 2, "energy": 3.5},
                {"day": "2026-11-01", "sessions": 1, "energy": 3.0},
            ],
        ),
        (
            GroupBy.MONTH,
            [
                {"month": "2026-10", "sessions": 2, "energy": 3.5},
                {"month": "2026-11", "sessions": 1, "energy": 3.0},
            ],
        ),
    ],
)
def test_groups(group_by: GroupBy, expected: list[dict[str, Any]]) -> None:
    """Sessions are added up; each belongs to the local day of its end."""
    data = statement(group_by).as_data()
    assert data == {"totals": {"sessions": 3, "energy": 6.5}, "groups": expected}
    text = statement(group_by).as_table(table_format())
    lines = cells(text)
    assert lines[0] == [group_by.value, "sessions", "energy"]
    # A spreadsheet takes the first day of a month for a date, in each country.
    day = "-01" if group_by is GroupBy.MONTH else ""
    assert lines[1:-1] == [
        [
            f"{group[group_by.value]}{day}",
            str(group["sessions"]),
            f"{group['energy']:.3f}".replace(".", ","),
        ]
        for group in expected
    ]
    assert lines[-1] == ["total", "3", "6,500"]


PERSONS = {"p-1": "Bo", "p-2": "=Anna"}
PRICED = [
    record(1, 2.0, person_id="p-1", cost=3.00001),
    record(2, 1.0, person_id="p-2", cost=None),
    record(3, 4.0, person_id="p-1", cost=1.5),
    record(4, 0.5, cost=0.25),
]


def priced(group_by: GroupBy) -> Statement:
    """Return a statement with persons and costs."""
    return Statement(
        PRICED,
        names=Names(chargers=NAMES, persons=PERSONS),
        group_by=group_by,
        has_cost=True,
    )


def test_persons_and_costs() -> None:
    """Each session has its person and its cost; an unknown cost is left out of the total."""
    data = priced(GroupBy.NONE).as_data()
    assert [(item["person"], item["cost"]) for item in data["sessions"]] == [
        ("Bo", 3.0),
        ("=Anna", None),
        ("Bo", 1.5),
        (None, 0.25),
    ]
    assert data["totals"] == {
        "sessions": 4,
        "energy": 7.5,
        "cost": 4.75,
        "without_cost": 1,
    }
    words = {"cost": "Cost (NOK)"}
    lines = cells(priced(GroupBy.NONE).as_table(table_format(words=words)))
    assert lines[0][3:6] == ["person", "energy", "Cost (NOK)"]
    assert [line[3:6] for line in lines[1:]] == [
        ["Bo", "2,000", "3,00"],
        ["'=Anna", "1,000", ""],
        ["Bo", "4,000", "1,50"],
        ["", "0,500", "0,25"],
        ["", "7,500", "4,75"],
    ]


def test_a_group_for_each_person() -> None:
    """Persons are in the order of their names, and those of no person come last."""
    data = priced(GroupBy.PERSON).as_data()
    assert data["groups"] == [
        {
            "person": "=Anna",
            "sessions": 1,
            "energy": 1.0,
            "cost": None,
            "without_cost": 1,
        },
        {
            "person": "Bo",
            "sessions": 2,
            "energy": 6.0,
            "cost": 4.5,
            "without_cost": 0,
        },
        {
            "person": None,
            "sessions": 1,
            "energy": 0.5,
            "cost": 0.25,
            "without_cost": 0,
        },
    ]
    lines = cells(priced(GroupBy.PERSON).as_table(table_format()))
    assert lines == [
        ["person", "sessions", "energy", "cost", "without_cost"],
        ["'=Anna", "1", "1,000", "", "1"],
        ["Bo", "2", "6,000", "4,50", "0"],
        ["no_person", "1", "0,500", "0,25", "0"],
        ["total", "4", "7,500", "4,75", "1"],
    ]


def test_a_person_of_two_accounts() -> None:
    """Persons with the same name are one; one whose name is not known any more is none."""
    records = [
        record(1, 2.0, person_id="p-1"),
        record(2, 1.0, person_id="p-2"),
        record(3, 4.0, person_id="p-3"),
    ]
    data = Statement(
        records,
        names=Names(chargers=NAMES, persons={"p-1": "Bo", "p-2": "Bo"}),
        group_by=GroupBy.PERSON,
    ).as_data()
    assert data["groups"] == [
        {"person": "Bo", "sessions": 2, "energy": 3.0},
        {"person": None, "sessions": 1, "energy": 4.0},
    ]


def test_a_cost_of_nothing() -> None:
    """A total is 0 only if that is known, and never has a sign before 0."""
    records = [record(1, 2.0, cost=-0.001)]
    for of, expected in (([], "0.00"), (records, "0.00"), (PRICED[1:2], "")):
        made = Statement(
            of, names=Names(chargers=NAMES), group_by=GroupBy.NONE, has_cost=True
        )
        table = made.as_table(table_format(Separator.TAB, DecimalSign.POINT))
        assert cells(table, "\t")[-1][4] == expected
    assert made.as_data()["totals"]["cost"] is None


@pytest.mark.parametrize("group_by", GroupBy)
def test_sums_of_what_is_shown(group_by: GroupBy) -> None:
    """Each total is the sum of the rows above it, to the cent and the watt hour.

    In all statements about the same sessions it is the same total.
    """
    records = [
        record(
            count * 9,
            1 / 3 + count / 7,
            charger_id=(GARAGE, CARPORT)[count % 2],
            person_id=("p-1", "p-2", None)[count % 3],
            cost=(1 / 3 + count / 7) * 0.2345,
        )
        for count in range(200)
    ]
    made = Statement(
        records,
        names=Names(chargers=NAMES, persons=PERSONS),
        group_by=group_by,
        has_cost=True,
    )
    totals = made.as_data()["totals"]
    headings, *rows, total = cells(
        made.as_table(table_format(Separator.COMMA, DecimalSign.POINT)), ","
    )
    for key in ("energy", "cost"):
        column = headings.index(key)
        sum_of_rows = sum(Decimal(row[column]) for row in rows)
        assert sum_of_rows == Decimal(total[column]) == Decimal(str(totals[key]))
        items = made.as_data()
        shown = items.get("sessions") or items["groups"]
        assert sum(Decimal(str(item[key])) for item in shown) == sum_of_rows
    expected = Statement(
        records, names=Names(chargers=NAMES), group_by=GroupBy.NONE, has_cost=True
    )
    assert totals == expected.as_data()["totals"]


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (2.675, 2.68),
        (0.285, 0.29),
        (0.1 + 0.025, 0.13),
        # The product is a little less than half a cent.
        (0.3 * 0.75, 0.23),
        (1.005, 1.01),
        (2.674, 2.67),
        (-0.005, -0.01),
        (-0.001, 0.0),
        (None, None),
    ],
)
def test_half_a_cent(cost: float | None, expected: float | None) -> None:
    """A session costs whole cents, and half a cent is rounded as on paper."""
    made = Statement(
        [record(1, 2.0, cost=cost)],
        names=Names(chargers=NAMES),
        group_by=GroupBy.NONE,
        has_cost=True,
    )
    [session] = made.as_data()["sessions"]
    assert str(session["cost"]) == str(expected)


def test_chargers_with_the_same_name() -> None:
    """Two chargers with one name stay two groups."""
    data = statement(GroupBy.CHARGER, names=dict.fromkeys(NAMES, "Box")).as_data()
    assert [group["charger_id"] for group in data["groups"]] == [GARAGE, CARPORT]


def test_nothing_to_list() -> None:
    """A period without a session has headings and a total."""
    assert statement(records=[]).as_data() == {
        "totals": {"sessions": 0, "energy": 0.0},
        "sessions": [],
    }
    lines = cells(statement(records=[]).as_table(table_format()))
    assert len(lines) == 2
    assert lines[1] == ["total", "", "", "0,000", "", "", "", "", ""]


def test_a_table() -> None:
    """The table has translated headings, one line for each session, and a total."""
    words = {"start": "Beginn", "offline": "war offline", "total": "Summe"}
    text = statement().as_table(table_format(words=words))
    assert text.count("\r\n") == text.count("\n") == 5
    lines = cells(text)
    assert lines[0][:3] == ["Beginn", "end", "charger"]
    assert lines[3] == [
        "2026-10-31 21:00:00",
        "2026-11-01 00:30:00",
        "Garage",
        "3,000",
        "100,000",
        "103,000",
        "war offline",
        "1,00",
        "1,00",
    ]
    assert lines[4] == ["Summe", "", "", "6,500", "", "", "", "", ""]


@pytest.mark.parametrize(
    ("separator", "decimal_sign"), list(product(Separator, DecimalSign))
)
def test_separators(separator: Separator, decimal_sign: DecimalSign) -> None:
    """Each combination is read as it was written, also a comma for both."""
    text = statement().as_table(table_format(separator, decimal_sign))
    lines = cells(text, separator.sign)
    assert {len(line) for line in lines} == {9}
    assert lines[-1][3] == f"6{decimal_sign.sign}500"


def test_a_mark_for_excel() -> None:
    """The mark is the first character, and only there."""
    plain = statement().as_table(table_format())
    marked = statement().as_table(table_format(has_byte_order_mark=True))
    assert marked == f"\ufeff{plain}"
    assert marked.encode().startswith(b"\xef\xbb\xbf")


def opened(text: str, decimal_sign: DecimalSign) -> Any:
    """Return what a spreadsheet makes of a cell, whether it has quotes or not.

    Raises:
        ValueError: The cell is a formula, or different in two spreadsheets.

    """
    number = rf"-?\d+(\{decimal_sign.sign}\d+)?"
    if re.fullmatch(number, text):
        return float(text.replace(decimal_sign.sign, "."))
    if re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", text):
        return datetime.fromisoformat(text)
    # Excel takes 2026-10 for a date, and +01:00 for a time. LibreOffice does not.
    if re.fullmatch(r"[-+\d.,:/ ]+", text) or text[:1] in tuple("=+-@"):
        raise ValueError(text)
    return text


@pytest.mark.parametrize(
    ("separator", "decimal_sign"),
    [
        (Separator.SEMICOLON, DecimalSign.COMMA),
        (Separator.COMMA, DecimalSign.POINT),
        (Separator.SEMICOLON, DecimalSign.POINT),
    ],
)
@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/St_Johns"])
def test_a_spreadsheet(
    separator: Separator, decimal_sign: DecimalSign, zone: str
) -> None:
    """Times are local times, from which a formula calculates UTC, also at a time change."""
    time_zone = dt_util.get_time_zone(zone)
    assert time_zone
    dt_util.set_default_time_zone(time_zone)
    # The clocks go back at 01:00 UTC in Europe, and at 04:30 UTC in Newfoundland.
    day = datetime(2026, 10, 25 if zone == "Europe/Oslo" else 1, tzinfo=UTC)
    if zone != "Europe/Oslo":
        day = datetime(2026, 11, 1, 3, 30, tzinfo=UTC)
    expected = [
        (day + timedelta(minutes=30), day + timedelta(minutes=minutes))
        for minutes in (45, 105, 165)
    ]
    records = [record(0, 1.5, start=start, end=end) for start, end in expected]
    text = statement(records=records).as_table(table_format(separator, decimal_sign))
    headings, *rows, total = [
        [opened(cell, decimal_sign) for cell in line]
        for line in cells(text, separator.sign)
    ]
    for row, moments in zip(rows, expected, strict=True):
        found = dict(zip(headings, row, strict=True))
        assert found["energy"] == 1.5
        for key, moment in zip(("start", "end"), moments, strict=True):
            offset = timedelta(hours=found[f"{key}_offset"])
            assert found[key] - offset == moment.replace(tzinfo=None)
    assert len({row[headings.index("end_offset")] for row in rows}) == 2
    assert total[headings.index("energy")] == 4.5


@pytest.mark.parametrize("group_by", [GroupBy.DAY, GroupBy.MONTH])
def test_days_and_months_in_a_spreadsheet(group_by: GroupBy) -> None:
    """They are dates, so they can be sorted and formatted."""
    text = statement(group_by).as_table(table_format())
    _, *rows, total = [
        [opened(cell, DecimalSign.COMMA) for cell in line] for line in cells(text)
    ]
    is_month = group_by is GroupBy.MONTH
    assert rows == [
        [datetime(2026, 10, 1 if is_month else 31), 2.0, 3.5],
        [datetime(2026, 11, 1), 1.0, 3.0],
    ]
    assert total == ["total", 3.0, 6.5]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ('=HYPERLINK("http://x.y";"z")', '\'=HYPERLINK("http://x.y";"z")'),
        ("+1", "'+1"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("  \r\n =1", "'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("Left,=1", "Left,'=1"),
        ("Left; -1", "Left; '-1"),
        ('Left,"=1"', 'Left,"\'=1"'),
        ("Box; left, 2", "Box; left, 2"),
        ('The "big" one', 'The "big" one'),
        ("Two\nlines", "Two lines"),
        ("A = B", "A = B"),
    ],
)
@pytest.mark.parametrize("separator", Separator)
@pytest.mark.parametrize("group_by", [GroupBy.NONE, GroupBy.CHARGER])
def test_names_are_no_formulas(
    group_by: GroupBy, separator: Separator, name: str, expected: str
) -> None:
    """A name stays one cell, and is never carried out by a spreadsheet."""
    text = statement(group_by, names=dict.fromkeys(NAMES, name)).as_table(
        table_format(separator)
    )
    lines = cells(text, separator.sign)
    column = 0 if group_by is GroupBy.CHARGER else 2
    assert {line[column] for line in lines[1:-1]} == {expected}
    # Whatever separator a spreadsheet assumes, it finds no cell that is a formula.
    for delimiter in ",;\t":
        for line in cells(text, delimiter):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in line)


@pytest.mark.parametrize(
    ("country", "decimal_sign", "expected"),
    [
        ("NO", DecimalSign.COMMA, Separator.SEMICOLON),
        ("NO", DecimalSign.POINT, Separator.COMMA),
        ("GB", DecimalSign.POINT, Separator.COMMA),
        ("CH", DecimalSign.POINT, Separator.SEMICOLON),
        ("LI", DecimalSign.POINT, Separator.SEMICOLON),
        (None, DecimalSign.COMMA, Separator.SEMICOLON),
        (None, DecimalSign.POINT, Separator.COMMA),
    ],
)
def test_the_separator_of_a_country(
    country: str | None, decimal_sign: DecimalSign, expected: Separator
) -> None:
    """It is the one of spreadsheets, which have semicolons in Switzerland, too."""
    assert Separator.of_country(country, decimal_sign) is expected


@pytest.mark.parametrize(
    ("country", "language", "expected"),
    [
        ("NO", "nb", DecimalSign.COMMA),
        ("JP", "ja", DecimalSign.POINT),
        ("NO", "en", DecimalSign.COMMA),
        ("GB", "en", DecimalSign.POINT),
        ("CH", "de", DecimalSign.POINT),
        (None, "en-GB", DecimalSign.POINT),
        (None, "de", DecimalSign.COMMA),
    ],
)
def test_the_decimal_sign_of_a_country(
    country: str | None, language: str, expected: DecimalSign
) -> None:
    """The country decides, because spreadsheets follow it, and else the language."""
    assert DecimalSign.of_country(country, language) is expected
