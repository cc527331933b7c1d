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

# Claims of an account that runs, and of one that does not, whose lists are unknown.
RUNS = Claim(
    entry_id="a", created_at=BIRTH, read_at=10.0, listed=ALL, homes=HOMES, held=NONE
)
RESTS = Claim(entry_id="a", created_at=BIRTH)


def second(claim: Claim) -> Claim:
    """Return the same claim of an account that was set up later."""
    return replace(claim, entry_id="b", created_at=BIRTH + timedelta(days=1))


def owner(*claims: Claim) -> str | None:
    """Return the owner of the device, and check that the order of the claims does not matter."""
    found = {tuple(sorted(owners(order).items())) for order in permutations(claims)}
    assert len(found) == 1
    (by_device,) = found
    (entry_id,) = {dict(by_device).get(device_id) for device_id in ALL}
    return entry_id


def test_an_account_alone_shows_what_it_lists() -> None:
    """A single account shows all that it lists, and nothing else."""
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
        # An account that is not running keeps its devices in the registry.
        (replace(RESTS, held=ALL), RUNS, "a"),
        (replace(RESTS, held=ALL), replace(RUNS, shown=ALL), "b"),
        (replace(RESTS, recorded=ALL), RUNS, "b"),
        (RUNS, replace(RESTS, held=ALL), "b"),
        (RUNS, replace(RESTS, held=ALL, chosen=frozenset({"another"})), "a"),
        # A running account does not own what it neither lists nor shows.
        (replace(RUNS, listed=NONE, homes={}, held=ALL, recorded=ALL), RUNS, "b"),
        (replace(RUNS, listed=NONE, shown=ALL), RUNS, "a"),
    ],
)
def test_who_shows_an_installation_and_its_chargers(
    first: Claim, other: Claim, expected: str
) -> None:
    """The owner is decided by what is shown, then by entities, devices and age."""
    assert owner(first, second(other)) == expected


def test_accounts_of_the_same_age_have_an_order_all_the_same() -> None:
    """Accounts of the same age have a fixed order; restored entries may have equal times."""
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
    """Another account may show a charger, while its installation keeps its own account."""
    first = change(replace(RUNS, shown=frozenset({HOME, GARAGE})))
    for claims in permutations((first, second(RUNS))):
        assert owners(claims) == {HOME: "a", GARAGE: "a", GUESTS: "b"}


@pytest.mark.parametrize(("read_at", "expected"), [(5.0, "a"), (None, "b")])
def test_an_account_with_older_lists_has_to_look_first(
    read_at: float | None, expected: str
) -> None:
    """A new charger belongs to the account of its installation, if that account sees it.

    The decision does not wait for an account that is not running, for example because of a
    refused password: it may never read its lists.
    """
    first = replace(
        RUNS,
        read_at=read_at,
        listed=frozenset({HOME, GARAGE}) if read_at else NONE,
        homes={GARAGE: HOME} if read_at else {},
        held=frozenset({HOME, GARAGE}),
    )
    assert owners([first, second(RUNS)])[GUESTS] == expected
    # An account that already has the device keeps it, also after a restart.
    holding = replace(second(RUNS), held=frozenset({GUESTS}))
    assert owners([first, holding])[GUESTS] == "b"
    # An account that shows it keeps it, too.
    showing = replace(second(RUNS), shown=frozenset({GUESTS}))
    assert owners([first, showing])[GUESTS] == "b"


def test_the_newest_lists_say_where_a_charger_is() -> None:
    """The newest lists decide where a charger is that moved to another installation."""
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
    """An installation that no account sees still has one account that reads its messages."""
    first = replace(RUNS, listed=frozenset({GARAGE}), homes={GARAGE: HOME})
    other = replace(second(RUNS), listed=frozenset({GUESTS}), homes={GUESTS: HOME})
    for claims in permutations((first, other)):
        assert owners(claims) == {GARAGE: "a", GUESTS: "b", HOME: "a"}


def test_a_charger_without_an_installation() -> None:
    """A charger without an installation has an owner, too."""
    alone = replace(RUNS, listed=frozenset({GARAGE}), homes={GARAGE: None})
    assert owners([alone, second(alone)]) == {GARAGE: "a"}


def test_the_rule_is_total_and_steady() -> None:
    """Any claims give one owner, in any order, who stays the owner once it shows the device."""
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
    """The account that shows the installation reads its lists for a new charger, if they are older."""
    host = replace(RUNS, listed=frozenset({HOME}), homes={}, shown=frozenset({HOME}))
    own = second(replace(RUNS, read_at=20.0))

    assert outdated_hosts(own, [host]) == {"a"}


@pytest.mark.parametrize(
    "changes",
    [
        # The account is not running.
        {"read_at": None},
        # The account's lists are newer, and do not have the charger.
        {"read_at": 30.0},
        # The account's options leave out the chargers.
        {"chosen": NONE},
        # The account's lists have the chargers already.
        {"listed": ALL},
        # The account does not show the installation.
        {"listed": NONE, "shown": NONE},
    ],
)
def test_lists_that_would_bring_nothing_are_not_read(
    changes: dict[str, frozenset[str] | float | None],
) -> None:
    """Lists are not read without need, because each reading costs two requests."""
    host = replace(RUNS, listed=frozenset({HOME}), homes={}, shown=frozenset({HOME}))
    own = second(replace(RUNS, read_at=20.0))

    assert outdated_hosts(own, [replace(host, **changes)]) == set()
