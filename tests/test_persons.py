"""Who has charged, as keyed hashes of users and cards."""

from homeassistant.config_entries import ConfigSubentryData
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import CompletedSession, Session
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.persons import (
    ANONYMOUS,
    CONF_HASHES,
    CONF_PERSON_KEY,
    SUBENTRY_PERSON,
    Identity,
    Persons,
    new_key,
)

KEY = "11" * 32
USER = "4c1a7f1e-2222-4444-8888-0123456789ab"
CODE = "nfc-049922AA7C2D90"
SESSION = "00000000-0000-4000-8000-000000000001"


def archived(user: str | None = USER, card: str | None = "Card") -> Session:
    """Return a session of the archive."""
    return Session(id=SESSION, user_id=user, token_name=card)


def reported(code: str | None = CODE) -> CompletedSession:
    """Return a session that a charger reports."""
    return CompletedSession(session_id=SESSION, authentication_code=code)


@pytest.fixture
def no_persons() -> Persons:
    """Return the persons of an account that has a key but no person."""
    return Persons(KEY, {})


def test_a_card_and_a_user(no_persons: Persons) -> None:
    """The archive has a user and the name of a card, the charger has the card's code."""
    identity = no_persons.identify(archived())
    assert identity.user
    assert identity.card
    assert not identity.code
    assert no_persons.identify(reported()).code
    assert len({*identity, *no_persons.identify(reported())} - {0}) == 3


def test_a_user_at_the_charger(no_persons: Persons) -> None:
    """If the app starts a session, a charger reports the user as the archive has it."""
    identity = no_persons.identify(reported(USER.upper()))
    assert identity == Identity(user=no_persons.identify(archived(USER.upper())).user)
    assert identity.user == no_persons.identify(archived()).user


def test_the_case_of_a_code(no_persons: Persons) -> None:
    """A code is the same card in upper and lower case."""
    assert no_persons.identify(reported(f" {CODE.lower()}")) == no_persons.identify(
        reported()
    )


def test_cards_of_the_same_name(no_persons: Persons) -> None:
    """Cards of different users may have the same name, and are different cards."""
    other = no_persons.identify(archived(user="4c1a7f1e-2222-4444-8888-0123456789ac"))
    assert other.card != no_persons.identify(archived()).card
    assert no_persons.identify(archived(user=None)).card


@pytest.mark.parametrize(
    "session",
    [
        archived(None, None),
        archived("", ""),
        reported(None),
        reported(""),
        reported(" "),
    ],
)
def test_an_anonymous_session(
    no_persons: Persons, session: Session | CompletedSession
) -> None:
    """Without a user and a card, it is not known who has charged."""
    assert no_persons.identify(session) == ANONYMOUS


def test_without_a_person() -> None:
    """Before the first person, nothing is noted of who has charged."""
    persons = Persons(None, {})
    assert persons.identify(archived()) == ANONYMOUS
    assert persons.identify(reported()) == ANONYMOUS
    assert persons.person_of(ANONYMOUS) is None


def test_each_account_has_a_key() -> None:
    """The hashes of two accounts have nothing in common."""
    one, other = (Persons(key, {}) for key in (new_key(), new_key()))
    assert not {*one.identify(archived())} & {*other.identify(archived())} - {0}


def test_hashes_are_numbers_for_json(no_persons: Persons) -> None:
    """JSON keeps whole numbers of up to 53 bits in every language."""
    for number in range(100):
        for item in no_persons.identify(archived(USER, f"Card {number}")):
            assert 0 <= item < 2**53


def test_the_person_of_a_session(no_persons: Persons) -> None:
    """A card that was chosen for one person counts more than its Zaptec user."""
    identity = no_persons.identify(archived())
    code = no_persons.identify(reported()).code
    persons = Persons(
        KEY,
        {
            "ANNA": ("Anna", [identity.user]),
            "BEN": ("Ben", [identity.card, 1234]),
            "CARL": ("Carl", [code]),
        },
    )
    assert persons.person_of(identity) == "BEN"
    assert persons.person_of(identity._replace(card=0)) == "ANNA"
    assert persons.person_of(identity._replace(code=code)) == "CARL"
    assert persons.person_of(no_persons.identify(archived(user="x"))) is None
    assert persons.person_of(ANONYMOUS) is None
    assert persons.names == {"ANNA": "Anna", "BEN": "Ben", "CARL": "Carl"}


def test_a_card_that_two_persons_have() -> None:
    """If two persons were given the same card, it is the first one's."""
    persons = Persons(KEY, {"ANNA": ("Anna", [7]), "BEN": ("Ben", [7, 8])})
    assert persons.person_of(Identity(code=7)) == "ANNA"
    assert persons.person_of(Identity(code=8)) == "BEN"


def test_the_persons_of_an_entry() -> None:
    """The persons of an account are subentries of its entry."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        data={CONF_PERSON_KEY: KEY},
        subentries_data=[
            ConfigSubentryData(
                data={CONF_HASHES: [7]},
                subentry_type=kind,
                title=title,
                unique_id=None,
            )
            for kind, title in ((SUBENTRY_PERSON, "Anna"), ("other", "Other"))
        ],
    )
    person_id, _ = entry.subentries
    persons = Persons.of(entry)
    assert list(persons.names.values()) == ["Anna"]
    assert persons.person_of(Identity(user=7)) == person_id
    assert persons.identify(archived()) == Persons(KEY, {}).identify(archived())
    assert not any(Persons.of(MockConfigEntry(domain=DOMAIN)).names)
