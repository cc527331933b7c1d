"""The rule by which one of several accounts shows a device, without Home Assistant."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
import random

import pytest

from custom_components.zaptec.devices.claims import Claim, outdated_hosts, owners

HOME = "home"
GARAGE = "garage"
GUESTS = "guests"
HOMES: dict[str, str | None] = {GARAGE: HOME, GUESTS: HOME}
ALL = frozenset({HOME, GARAGE, GUESTS})
NONE: frozenset[str] = frozenset()
BIRTH = datetime(2026, 1, 1, tzinfo=UTC)

# An account that runs, and one that does not (its lists are unknown then).
RUNS = Claim(
    entry_id="a", created_at=BIRTH, read_at=10.0, listed=ALL, homes=HOMES, held=NONE
)
RESTS = Claim(entry_id="a", created_at=BIRTH)


def second(claim: Claim) -> Claim:
    """Return the same claim of an account that was set up later."""
    return replace(claim, entry_id="b", created_at=BIRTH + timedelta(days=1))


def owner(*claims: Claim) -> str | None:
    """Return the account that shows everything, whatever the order of the claims."""
    found = {tuple(sorted(owners(order).items())) for order in permutations(claims)}
    assert len(found) == 1
    (by_device,) = found
    (entry_id,) = {dict(by_device).get(device_id) for device_id in ALL}
    return entry_id


def test_an_account_alone_shows_what_it_lists() -> None:
    """Nothing that it does not list, though."""
    assert owner(RUNS) == "a"
    assert owners([RESTS]) == {}
    assert owners([]) == {}


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        (RUNS, RUNS, "a"),
        (RUNS, replace(RUNS, held=ALL), "b"),
        (replace(RUNS, held=ALL), replace(RUNS, held=ALL), "a"),
        (replace(RUNS, held=ALL), replace(RUNS, recorded=ALL), "b"),
        (replace(RUNS, held=ALL, recorded=ALL), replace(RUNS, shown=ALL), "b"),
        (replace(RUNS, shown=ALL), replace(RUNS, held=ALL, recorded=ALL), "a"),
        # Not running: what it has in the registry stands until it runs.
        (replace(RESTS, held=ALL), RUNS, "a"),
        (replace(RESTS, held=ALL), replace(RUNS, shown=ALL), "b"),
        (replace(RESTS, recorded=ALL), RUNS, "b"),
        (RUNS, replace(RESTS, held=ALL), "b"),
        (RUNS, replace(RESTS, held=ALL, chosen=frozenset({"another"})), "a"),
        # Running: what it does not list and does not show any more is not its own.
        (replace(RUNS, listed=NONE, homes={}, held=ALL, recorded=ALL), RUNS, "b"),
        (replace(RUNS, listed=NONE, shown=ALL), RUNS, "a"),
    ],
)
def test_who_shows_an_installation_and_its_chargers(
    first: Claim, other: Claim, expected: str
) -> None:
    """What is shown, then entities, then devices, then age decide."""
    assert owner(first, second(other)) == expected


def test_accounts_of_the_same_age_have_an_order_all_the_same() -> None:
    """Entries that were restored from a file may have the same time."""
    assert owner(RUNS, replace(RUNS, entry_id="b")) == "a"


@pytest.mark.parametrize(
    "change",
    [
        lambda claim: replace(claim, listed=frozenset({HOME, GARAGE})),
        lambda claim: replace(
            claim,
            chosen=frozenset({GARAGE}),
            listed=frozenset({HOME, GARAGE}),
            read_at=5.0,
        ),
    ],
    ids=["not seen", "left out"],
)
def test_a_charger_that_the_account_of_its_installation_does_not_show(
    change: Callable[[Claim], Claim],
) -> None:
    """The other account shows it, but the installation stays where it is."""
    first = change(replace(RUNS, shown=frozenset({HOME, GARAGE})))
    for claims in permutations((first, second(RUNS))):
        assert owners(claims) == {HOME: "a", GARAGE: "a", GUESTS: "b"}


@pytest.mark.parametrize(("read_at", "expected"), [(5.0, "a"), (None, "b")])
def test_an_account_with_older_lists_has_to_look_first(
    read_at: float | None, expected: str
) -> None:
    """A new charger belongs to the account of its installation, if that sees it.

    An account that is not running, such as one whose password is refused, is not
    waited for: it may never look.
    """
    first = replace(
        RUNS,
        read_at=read_at,
        listed=frozenset({HOME, GARAGE}) if read_at else NONE,
        homes={GARAGE: HOME} if read_at else {},
        held=frozenset({HOME, GARAGE}),
    )
    assert owners([first, second(RUNS)])[GUESTS] == expected
    # One that has its device already keeps it, also after a restart.
    holding = replace(second(RUNS), held=frozenset({GUESTS}))
    assert owners([first, holding])[GUESTS] == "b"
    # So does one that shows it.
    showing = replace(second(RUNS), shown=frozenset({GUESTS}))
    assert owners([first, showing])[GUESTS] == "b"


def test_the_newest_lists_say_where_a_charger_is() -> None:
    """It has moved from an account's installation to the other's."""
    first = replace(RUNS, shown=ALL, held=ALL)
    other = replace(
        second(RUNS),
        read_at=20.0,
        listed=frozenset({"cabin", GUESTS}),
        homes={GUESTS: "cabin"},
        shown=frozenset({"cabin"}),
    )
    for claims in permutations((first, other)):
        assert owners(claims) == {HOME: "a", GARAGE: "a", GUESTS: "b", "cabin": "b"}


def test_an_installation_that_no_account_sees_has_one_reader() -> None:
    """A role for a charger alone does not show the installation."""
    first = replace(RUNS, listed=frozenset({GARAGE}), homes={GARAGE: HOME})
    other = replace(second(RUNS), listed=frozenset({GUESTS}), homes={GUESTS: HOME})
    for claims in permutations((first, other)):
        assert owners(claims) == {GARAGE: "a", GUESTS: "b", HOME: "a"}


def test_a_charger_without_an_installation() -> None:
    """It is shown by itself."""
    alone = replace(RUNS, listed=frozenset({GARAGE}), homes={GARAGE: None})
    assert owners([alone, second(alone)]) == {GARAGE: "a"}


def test_the_rule_is_total_and_steady() -> None:
    """Over many claims: one owner, in any order, and still after it shows the device."""
    sets = [NONE, ALL, frozenset({HOME, GARAGE}), frozenset({GUESTS})]
    generator = random.Random(1)
    claims = [
        Claim(
            entry_id="",
            created_at=BIRTH,
            chosen=chosen,
            read_at=read_at,
            listed=listed if read_at is not None else NONE,
            homes=HOMES if read_at is not None else {},
            held=held,
            recorded=recorded,
        )
        for read_at, listed, held, recorded, chosen in product(
            (None, 10.0, 20.0), sets, sets, sets, (None, frozenset({GARAGE}))
        )
    ]
    for _ in range(3000):
        three = [
            replace(claim, entry_id=str(number), created_at=BIRTH)
            for number, claim in enumerate(generator.sample(claims, 3))
        ]
        found = owners(three)
        for order in permutations(three):
            assert owners(order) == found
        listed = frozenset[str]().union(*(claim.listed for claim in three))
        assert listed <= found.keys()
        showing = [
            replace(
                claim,
                shown=frozenset(
                    device_id
                    for device_id, entry_id in found.items()
                    if entry_id == claim.entry_id
                    and claim.read_at is not None
                    and device_id in claim.listed
                ),
            )
            for claim in three
        ]
        assert owners(showing) == found


def test_a_host_that_has_older_lists_has_to_read_them() -> None:
    """It shows the installation, so the new charger is for it to show."""
    host = replace(RUNS, listed=frozenset({HOME}), homes={}, shown=frozenset({HOME}))
    own = second(replace(RUNS, read_at=20.0))

    assert outdated_hosts(own, [host]) == {"a"}


@pytest.mark.parametrize(
    "changes",
    [
        # It is not running.
        {"read_at": None},
        # Its lists are newer, and it does not see the charger.
        {"read_at": 30.0},
        # Its options leave the chargers out.
        {"chosen": NONE},
        # It sees the chargers already.
        {"listed": ALL},
        # It does not show the installation.
        {"listed": NONE, "shown": NONE},
    ],
)
def test_lists_that_would_bring_nothing_are_not_read(
    changes: dict[str, frozenset[str] | float | None],
) -> None:
    """Each look at the lists costs two requests."""
    host = replace(RUNS, listed=frozenset({HOME}), homes={}, shown=frozenset({HOME}))
    own = second(replace(RUNS, read_at=20.0))

    assert outdated_hosts(own, [replace(host, **changes)]) == set()
