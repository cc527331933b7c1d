"""The quality scale: the claimed rules are followed, and the checks match core's practice."""

from collections import Counter
import json
from pathlib import Path
import re

from homeassistant import const as ha_const
import pytest

from .integration_source import (
    RULES,
    Integration,
    action_placeholders_are_given,
    actions_are_described,
    altered_copy,
    exceptions_are_translated,
    exceptions_have_a_text,
    fields_are_described,
    texts_are_plain,
)
from .quality_scale import (
    CHECKS,
    CORE,
    REPOSITORY_CHECKS,
    SHOWN_BY_TESTS,
    Rule,
    actions_outlive_entries,
    all_is_covered,
    brand_images,
    can_be_reconfigured,
    can_sign_in_again,
    common_classes_have_their_module,
    conditions_are_documented,
    devices_are_described,
    diagnostics_can_be_downloaded,
    entities_become_unavailable,
    entities_have_a_name_of_their_own,
    entities_have_a_unique_id,
    entities_subscribe_late,
    entries_are_unique,
    entries_can_be_unloaded,
    failed_actions_raise,
    flow_is_covered,
    flow_tries_before_it_stores,
    functions_are_typed,
    has_owner,
    icons_are_not_in_the_source,
    icons_exist,
    issues_can_be_fixed,
    known_icons,
    names_are_translated,
    nothing_blocks,
    parallel_updates,
    polls_at_its_own_pace,
    requirements_are_free,
    runtime_data_is_used,
    session_is_handed_in,
    setup_fails_early,
    triggers_are_documented,
    types_are_checked,
)

ROOT = Path(__file__).resolve().parents[1]
ZAPTEC = Integration(ROOT / "custom_components" / "zaptec")
MODEL = CORE / "peblar" / "quality_scale.yaml"

PLATINUM = sorted(
    file.parent.name
    for file in CORE.glob("*/manifest.json")
    if json.loads(file.read_text(encoding="utf-8")).get("quality_scale") == "platinum"
)

# The version of Home Assistant for whose integrations the exceptions below were written.
IS_KNOWN_CORE = ha_const.__version__.startswith("2026.10.")
# With any other version, each check has to accept these integrations, and nearly all of
# the others. Not all, because new integrations may do things in a way of their own.
MODELS = ["litterrobot", "liebherr", "ohme", "peblar", "yoto"]
LARGEST_SHARE_REFUSED = 0.05

# Integrations of core that do something which a check cannot or should not follow.
BEYOND_THE_CHECKS: dict[tuple[str, Rule], str] = {
    ("airos", session_is_handed_in): "a session for devices with an old TLS",
    ("casper_glow", polls_at_its_own_pace): "is pushed, over Bluetooth",
    ("esphome", exceptions_have_a_text): "has switched pylint's rule off there",
    ("esphome", icons_are_not_in_the_source): "the device tells its icons",
    ("google_assistant_sdk", exceptions_are_translated): "lacks a placeholder",
    ("google_assistant_sdk", setup_fails_early): "the OAuth session raises",
    ("habitica", actions_are_described): "an icon of a former action",
    ("heos", polls_at_its_own_pace): "is pushed",
    ("heos", session_is_handed_in): "no HTTP",
    ("home_connect", failed_actions_raise): "does without what it could not read",
    ("home_connect", polls_at_its_own_pace): "is pushed",
    ("homewizard", entities_have_a_unique_id): "ids of another domain's entities",
    ("knx", action_placeholders_are_given): "given in another way",
    ("knx", texts_are_plain): "keys of its own panel",
    ("led_infrared", entities_become_unavailable): "nothing answers infrared light",
    ("liebherr", polls_at_its_own_pace): "is pushed",
    ("miele", can_sign_in_again): "the OAuth session raises",
    ("miele", icons_are_not_in_the_source): "an icon for each kind of appliance",
    ("mqtt", common_classes_have_their_module): "climate and water heaters share one",
    ("mqtt", texts_are_plain): "an address as an example",
    ("pooldose", flow_tries_before_it_stores): "its library returns what failed",
    ("reolink", exceptions_have_a_text): "has switched pylint's rule off there",
    ("reolink", issues_can_be_fixed): "fixable without a flow",
    ("shelly", runtime_data_is_used): "what is not of one entry",
    ("smlight", icons_are_not_in_the_source): "one icon left over",
    ("sofar", exceptions_are_translated): "gives a placeholder too many",
    ("tplink", runtime_data_is_used): "what is not of one entry",
    ("unifiprotect", icons_are_not_in_the_source): "one icon left over",
    ("vodafone_station", session_is_handed_in): "a session that takes bad cookies",
    ("webostv", texts_are_plain): "a key with a dot",
}


def status(integration: Integration, rule: str) -> str:
    """Return the status of a rule: done, exempt or todo."""
    said = integration.quality_scale[rule]
    return said if isinstance(said, str) else said["status"]


def rules_with(wanted: str) -> list[str]:
    """Return this integration's rules that have a status."""
    return [rule for rule in ZAPTEC.quality_scale if status(ZAPTEC, rule) == wanted]


def checks_of(rule: str) -> tuple[Rule, ...]:
    """Return all checks of a rule."""
    return CHECKS.get(rule, ()) + REPOSITORY_CHECKS.get(rule, ())


def test_scale_has_the_rules_of_core() -> None:
    """quality_scale.yaml has core's rules, in the same order and under the same headings."""

    def outline(file: Path) -> list[str]:
        return re.findall(
            r"^  ([a-z-]+|# \w+)(?::.*)?$", file.read_text("utf-8"), re.MULTILINE
        )

    assert outline(ZAPTEC.path / "quality_scale.yaml") == outline(MODEL)
    assert len(ZAPTEC.quality_scale) == 54


def test_what_is_not_done_has_a_reason() -> None:
    """Rules that are exempt or todo have a comment with the reason."""
    for rule, said in ZAPTEC.quality_scale.items():
        if said != "done":
            assert isinstance(said, dict), rule
            assert said.keys() == {"status", "comment"}, rule
            assert said["status"] in ("exempt", "todo"), rule
            assert len(said["comment"].split()) > 3, rule


@pytest.mark.parametrize("rule", rules_with("done"))
def test_what_is_done_is_checked(rule: str) -> None:
    """Each rule that is done has a check here, or a test elsewhere."""
    assert checks_of(rule) or rule in SHOWN_BY_TESTS
    for check in checks_of(rule):
        assert check(ZAPTEC) == []


@pytest.mark.parametrize("rule", rules_with("todo"))
def test_what_is_to_do_is_not_done(rule: str) -> None:
    """A rule that is todo fails its checks; otherwise it should be marked as done."""
    assert any(check(ZAPTEC) for check in checks_of(rule))


@pytest.mark.parametrize("shown", sorted(set(SHOWN_BY_TESTS.values())))
def test_tests_that_show_a_rule_exist(shown: str) -> None:
    """The tests that are named for rules without a check exist."""
    file, _, name = shown.partition("::")

    assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_there_is_something_to_be_measured_by() -> None:
    """The installed Home Assistant contains the integrations that the checks are tested with."""
    assert len(PLATINUM) > 100
    assert {domain for domain, _ in BEYOND_THE_CHECKS} <= set(PLATINUM)
    assert set(MODELS) <= set(PLATINUM)


def applicable_checks(integration: Integration) -> set[Rule]:
    """Return the checks of all rules that an integration claims to follow."""
    checks = {
        check
        for rule, checks in CHECKS.items()
        if status(integration, rule) == "done"
        for check in checks
    }
    return checks.union(RULES)


def test_checks_follow_core() -> None:
    """Nearly all of core's integrations pass, so a new practice of core's is not rejected."""
    applied: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for domain in PLATINUM:
        integration = Integration(CORE / domain)
        for check in applicable_checks(integration):
            applied[check.__name__] += 1
            refused[check.__name__] += check(integration) != []

    assert {
        name: (refused[name], total)
        for name, total in applied.items()
        if refused[name] > max(2, total * LARGEST_SHARE_REFUSED)
    } == {}


@pytest.mark.parametrize("domain", PLATINUM if IS_KNOWN_CORE else MODELS)
def test_checks_accept_the_best_of_core(domain: str) -> None:
    """Integrations of core with the highest quality pass, so no check is too strict."""
    integration = Integration(CORE / domain)

    for check in applicable_checks(integration):
        found = check(integration)
        if (domain, check) in BEYOND_THE_CHECKS:
            assert found, check.__name__
        else:
            assert found == [], check.__name__


def test_the_list_of_icons() -> None:
    """The list of icons is complete, and the frontend, if installed, has the ones added to it."""
    assert len(known_icons()) > 1000
    frontend = pytest.importorskip("hass_frontend")
    listed = json.loads(
        (Path(frontend.where()) / "static" / "mdi" / "iconList.json").read_text("utf-8")
    )
    assert known_icons() <= {f"mdi:{icon['name']}" for icon in listed}


SWALLOWED = """ -> None:
        try:
            print()
        except ValueError as err:
            LOGGER.error(err)
"""
MISTAKES: list[tuple[Rule, str, str, str]] = [
    (
        actions_outlive_entries,
        "__init__.py",
        "    runtime = entry",
        "    async_setup_services(hass)\n    runtime = entry",
    ),
    (actions_outlive_entries, "__init__.py", "    async_setup_services(hass)", ""),
    (actions_outlive_entries, "__init__.py", "CONFIG_SCHEMA", "SCHEMA"),
    (polls_at_its_own_pace, "coordinator.py", "update_interval=", "interval="),
    (polls_at_its_own_pace, "translations/en.json", '"password"', '"scan_interval"'),
    (
        common_classes_have_their_module,
        "sources/link.py",
        "class Link:",
        "class Link(DataUpdateCoordinator):",
    ),
    (
        common_classes_have_their_module,
        "button.py",
        "(ZaptecChargerEntity, ",
        "(ZaptecChargingSwitch, ",
    ),
    (
        fields_are_described,
        "translations/en.json",
        '"data_description"',
        '"description_of_data"',
    ),
    (
        entities_subscribe_late,
        "entity.py",
        "self._first_seen = ",
        "coordinator.async_add_listener(print)\n        self._first_seen = ",
    ),
    (entities_have_a_unique_id, "entity.py", "_attr_unique_id", "_attr_id"),
    (entities_have_a_unique_id, "entity.py", 'f"{device_id}_', 'f"{DOMAIN}_'),
    (entities_have_a_name_of_their_own, "entity.py", "has_entity_name = True", "x = 1"),
    (
        entities_have_a_name_of_their_own,
        "entity.py",
        "has_entity_name = True",
        "has_entity_name = False",
    ),
    (runtime_data_is_used, "__init__.py", "entry.runtime_data", "hass.data[DOMAIN]"),
    (runtime_data_is_used, "__init__.py", "entry.runtime_data", "entry.held"),
    (runtime_data_is_used, "sensor.py", ": ZaptecConfigEntry,", ": ConfigEntry,"),
    (flow_tries_before_it_stores, "config_flow.py", "await client", "client"),
    (setup_fails_early, "__init__.py", "_first_refresh", "_refresh"),
    (entries_are_unique, "config_flow.py", "_abort_if_unique_id_configured", "_go_on"),
    (
        failed_actions_raise,
        "switch.py",
        "_turn_on(self, **kwargs: Any) -> None:\n",
        f"_turn_on(self, **kwargs: Any){SWALLOWED}",
    ),
    (
        failed_actions_raise,
        "services.py",
        "send_command(call: ServiceCall) -> None:\n",
        f"send_command(call: ServiceCall){SWALLOWED}",
    ),
    (entries_can_be_unloaded, "__init__.py", "async_unload_entry", "async_unload"),
    (entries_can_be_unloaded, "__init__.py", "async_unload_platforms", "async_unload"),
    (has_owner, "manifest.json", '["@zaptec-home-assistant"]', "[]"),
    (parallel_updates, "sensor.py", "PARALLEL_UPDATES", "PARALLEL"),
    (devices_are_described, "devices/registry.py", "identifiers=", "name="),
    (devices_are_described, "devices/registry.py", "async_get_or_create", "get"),
    (can_sign_in_again, "config_flow.py", "async_step_reauth(", "async_step_again("),
    (can_be_reconfigured, "config_flow.py", "step_reconfigure", "step_change"),
    (can_be_reconfigured, "config_flow.py", "_get_reconfigure_entry", "_get_entry"),
    (names_are_translated, "button.py", "translation_key=", "name="),
    (
        names_are_translated,
        "switch.py",
        "    entity_description: ZaptecSwitchDescription\n",
        '    _attr_name = "Charging"',
    ),
    (icons_are_not_in_the_source, "button.py", "translation_key=", "icon="),
    (
        icons_are_not_in_the_source,
        "switch.py",
        "    entity_description: ZaptecSwitchDescription\n",
        '    _attr_icon = "mdi:ev-station"',
    ),
    (icons_exist, "icons.json", "mdi:speedometer", "mdi:speedometre"),
    (exceptions_have_a_text, "services.py", "translation_key=", "key="),
    (
        exceptions_have_a_text,
        "services.py",
        "ServiceValidationError(\n",
        'ServiceValidationError(\n f"No {total}",\n',
    ),
    (exceptions_are_translated, "service_targets.py", '"no_target"', '"none"'),
    (exceptions_are_translated, "services.py", '"maximum"', '"most"'),
    (issues_can_be_fixed, "repairs.py", "async_create_fix_flow", "async_create_flow"),
    (
        nothing_blocks,
        "sources/link.py",
        "import asyncio",
        "import asyncio\nimport requests",
    ),
    (session_is_handed_in, "runtime.py", "async_get_clientsession", "get_session"),
    (session_is_handed_in, "coordinator.py", "Account()", "ClientSession()"),
    (functions_are_typed, "sources/link.py", " -> None:", ":"),
    (functions_are_typed, "entity.py", "device_id: str", "device_id"),
    (
        requirements_are_free,
        "manifest.json",
        "azure-servicebus",
        "homeassistant_closed",
    ),
    (
        triggers_are_documented,
        "docs/automations.md",
        "zaptec.card_presented",
        "zaptec.card",
    ),
    (
        conditions_are_documented,
        "docs/automations.md",
        "zaptec.is_charging`",
        "zaptec.charges`",
    ),
    (flow_is_covered, "scripts/test", "--fail-under=100", "--fail-under=10"),
    (all_is_covered, "pyproject.toml", "fail_under = 95", "fail_under = 9"),
    (all_is_covered, "scripts/test", "--cov ", ""),
    (types_are_checked, "pyproject.toml", "strict = true", "strict = false"),
    (types_are_checked, "pyproject.toml", '["custom_components", ', "["),
    (types_are_checked, "scripts/test", "-m mypy", "-m my"),
]


@pytest.mark.parametrize(("check", "file", "old", "new"), MISTAKES)
def test_checks_notice(
    tmp_path: Path, check: Rule, file: str, old: str, new: str
) -> None:
    """Each check notices a mistake of its kind."""
    assert check(altered_copy(ZAPTEC, tmp_path, file, old, new)) != []


@pytest.mark.parametrize(
    ("check", "file"),
    [
        (brand_images, "brand/icon.png"),
        (brand_images, "brand/icon@2x.png"),
        (diagnostics_can_be_downloaded, "diagnostics.py"),
        (issues_can_be_fixed, "repairs.py"),
    ],
)
def test_checks_notice_what_is_missing(tmp_path: Path, check: Rule, file: str) -> None:
    """The checks notice that a required file is missing."""
    copy = altered_copy(ZAPTEC, tmp_path, "manifest.json", "zaptec", "zaptec")
    (copy.path / file).unlink(missing_ok=True)

    assert check(copy) != []


def test_entities_that_are_always_available_are_noticed(tmp_path: Path) -> None:
    """An entity that is always available fails its check, because it would show outdated values."""
    (tmp_path / "sensor.py").write_text("class Power(SensorEntity): pass")

    assert entities_become_unavailable(Integration(tmp_path)) != []


README = """
# A title

What this is for, in some words more than a title has, so that somebody who finds it
knows whether it is the right thing for the charger at hand.

## Installation
How.

## Configuration
Email address, Password, All chargers, Chargers, User group id, Show in events who charged,
Installation, If something fails

## Removal
How.

## Supported devices
Some.

## Entities
Some.

## Actions
`limit_current`, `send_command`, `stop_charging`, `resume_charging`,
`deauthorize_charging`, `restart_charger`, `upgrade_firmware`, `get_sessions`,
`authorize_charging` and
`import_sessions`.

## Examples

```yaml
# Charge at night
```

## How the data is updated
Like this.

## Known limitations
Some.

## Troubleshooting
Some.
"""


@pytest.mark.parametrize(
    ("old", "rules"),
    [
        (
            "What this is for, in some words more than a title has, so that",
            {"docs-high-level-description"},
        ),
        ("## Installation", {"docs-installation-instructions"}),
        ("## Configuration", {"docs-configuration-parameters"}),
        ("All chargers", {"docs-configuration-parameters"}),
        ("Email address", {"docs-installation-parameters"}),
        ("## Removal", {"docs-removal-instructions"}),
        ("## Supported devices", {"docs-supported-devices"}),
        ("## Entities", {"docs-supported-functions"}),
        ("## Actions", {"docs-actions", "docs-supported-functions"}),
        ("send_command", {"docs-actions"}),
        ("## Examples", {"docs-examples", "docs-use-cases"}),
        ("```yaml\n# Charge at night\n```", {"docs-examples"}),
        ("## How the data is updated", {"docs-data-update"}),
        ("## Known limitations", {"docs-known-limitations"}),
        ("## Troubleshooting", {"docs-troubleshooting"}),
        ("How the door is opened", set()),
    ],
)
def test_readme_checks_notice(tmp_path: Path, old: str, rules: set[str]) -> None:
    """A missing section of the README fails the checks of its own rules, and no others."""
    copy = altered_copy(ZAPTEC, tmp_path, "manifest.json", "zaptec", "zaptec")
    (tmp_path / "README.md").write_text(README.replace(old, "-"), encoding="utf-8")

    assert {
        rule
        for rule, checks in REPOSITORY_CHECKS.items()
        if rule.startswith("docs-") and any(check(copy) for check in checks)
    } == rules


def test_each_check_has_been_seen_to_fail() -> None:
    """For each check, there is a mistake above that makes it fail."""
    tried = {check for check, *_ in MISTAKES}
    tried |= {
        brand_images,
        diagnostics_can_be_downloaded,
        entities_become_unavailable,
    }
    tried |= {
        check
        for rule, checks in REPOSITORY_CHECKS.items()
        if rule.startswith("docs-")
        for check in checks
    }

    for checks in (*CHECKS.values(), *REPOSITORY_CHECKS.values()):
        assert tried.issuperset(checks)
