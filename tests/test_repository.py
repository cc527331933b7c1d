"""The rules of hassfest and HACS, and of this repository, for its files."""

import ast
from collections.abc import Callable, Iterator
from importlib.metadata import version
import json
from pathlib import Path
import re

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
import homeassistant
from homeassistant import const as ha_const
import pytest

from .integration_source import (
    RULES,
    STRICT_RULES,
    Integration,
    action_placeholders_are_given,
    actions_are_described,
    altered_copy,
    automation_parts_are_described,
    choices_are_described,
    entity_keys,
    exception_texts_are_used,
    exceptions_are_translated,
    exceptions_have_a_text,
    fields_are_described,
    flow_keys,
    icons_fit,
    leaves,
    manifest_order,
    placeholders,
    plain_texts,
    texts_are_plain,
)

type Rule = Callable[[Integration], list[str]]

ROOT = Path(__file__).resolve().parents[1]
ZAPTEC = Integration(ROOT / "custom_components" / "zaptec")
CORE = Path(homeassistant.__file__).parent / "components"

# The keys that hassfest accepts in the manifest of a custom integration.
MANIFEST_KEYS = {
    "after_dependencies",
    "bluetooth",
    "codeowners",
    "config_flow",
    "dependencies",
    "dhcp",
    "disabled",
    "documentation",
    "domain",
    "homekit",
    "import_executor",
    "integration_type",
    "iot_class",
    "issue_tracker",
    "loggers",
    "mqtt",
    "name",
    "preview_features",
    "quality_scale",
    "requirements",
    "single_config_entry",
    "ssdp",
    "usb",
    "version",
    "zeroconf",
}
HACS_KEYS = {
    "content_in_root",
    "country",
    "filename",
    "hacs",
    "hide_default_branch",
    "homeassistant",
    "name",
    "persistent_directory",
    "zip_release",
}
LANGUAGES = ["da", "de", "en", "fi", "fr", "is", "nb", "nl", "pl", "sv"]
# The vendor's API fair use policy forbids these calls.
FORBIDDEN_CALLS = re.compile(
    r"authorizecharge|localsettings|/settings\b|/live\b", re.IGNORECASE
)
# Known exceptions of core integrations with the highest quality. The rules must accept
# everything else that these integrations do.
BEYOND_THE_RULES = {
    ("liebherr", entity_keys): "keys from a mapping of zones",
    ("vistapool", entity_keys): "keys from a mapping of settings",
    ("peblar", icons_fit): "states that have the usual icon",
    ("yoto", flow_keys): "the steps of the OAuth helper",
}


@pytest.mark.parametrize("rule", [*RULES, *STRICT_RULES])
def test_integration_keeps_the_rules(rule: Rule) -> None:
    """Texts, icons, keys and the manifest follow the rules of hassfest."""
    assert rule(ZAPTEC) == []


@pytest.mark.parametrize("rule", STRICT_RULES)
@pytest.mark.parametrize("domain", ["liebherr", "peblar", "vistapool", "yoto"])
def test_rules_accept_the_best_of_core(domain: str, rule: Rule) -> None:
    """Core integrations of the highest quality pass each rule, so no rule is too strict.

    The rules that apply to all integrations are tested with many more of them in
    test_quality_scale.py.
    """
    if (domain, rule) in BEYOND_THE_RULES:
        assert rule(Integration(CORE / domain)) != []
    else:
        assert rule(Integration(CORE / domain)) == []


@pytest.mark.parametrize(
    "domain",
    sorted(
        {
            file.parent.name
            for kind in ("triggers", "conditions")
            for file in CORE.glob(f"*/{kind}.yaml")
        }
    ),
)
def test_the_rule_of_triggers_accepts_those_of_core(domain: str) -> None:
    """The rule accepts all triggers and conditions of core, so it is not too strict."""
    assert automation_parts_are_described(Integration(CORE / domain)) == []


@pytest.mark.parametrize(
    ("rule", "file", "old", "new"),
    [
        (manifest_order, "manifest.json", '"iot_class"', '"a_class"'),
        (texts_are_plain, "translations/en.json", '"Password"', '"<b>Password</b>"'),
        (texts_are_plain, "translations/en.json", '"Password"', '"Password "'),
        (texts_are_plain, "translations/en.json", '"Password"', '"https://x.y"'),
        (texts_are_plain, "translations/en.json", '"Disconnected"', '"{x}"'),
        (texts_are_plain, "translations/en.json", "push_status", "Push-Status"),
        (
            fields_are_described,
            "translations/en.json",
            '"username": "Em',
            '"user": "Em',
        ),
        (entity_keys, "translations/en.json", '"push_status"', '"push_state"'),
        (entity_keys, "switch.py", 'translation_key="', 'translation_key="x_'),
        (exceptions_are_translated, "translations/en.json", "{reason}", "{why}"),
        (exceptions_are_translated, "translations/en.json", '"cloud_busy"', '"busy"'),
        (exception_texts_are_used, "translations/en.json", '"cloud_busy"', '"busy"'),
        (
            exceptions_are_translated,
            "control/errors.py",
            '"reason": err',
            '"why": err',
        ),
        (
            exceptions_are_translated,
            "control/checks.py",
            'translation_domain=DOMAIN, translation_key="chargers_are_stand_alone"',
            'translation_key="chargers_are_stand_alone"',
        ),
        (exceptions_have_a_text, "control/settings.py", "translation_key=", "key="),
        (flow_keys, "config_flow.py", '"invalid_auth"', '"wrong_auth"'),
        (flow_keys, "translations/en.json", "{portal_url}", "{address}"),
        (flow_keys, "translations/en.json", '"reauth_confirm"', '"reauth_again"'),
        (icons_fit, "icons.json", "mdi:ev-station", "fa:ev-station"),
        (icons_fit, "icons.json", '"push_status"', '"push_state"'),
        (icons_fit, "icons.json", '"not_permitted"', '"permitted"'),
        (icons_fit, "icons.json", 'mdi:play-circle"', 'mdi:ev-station"'),
        (actions_are_described, "icons.json", '"limit_current"', '"limit"'),
        (actions_are_described, "icons.json", '"service"', '"icon"'),
        (actions_are_described, "services.yaml", "limit_current:", "limit:"),
        (actions_are_described, "services.yaml", "override:", "force:"),
        (actions_are_described, "services.py", '"send_command"', '"send"'),
        (actions_are_described, "translations/en.json", '"override"', '"force"'),
        (actions_are_described, "translations/en.json", '"name": "Command"', '"n": ""'),
        (choices_are_described, "services.yaml", "- restart_charger", "- restart"),
        (choices_are_described, "triggers.yaml", "- accepted", "- taken"),
        (choices_are_described, "conditions.yaml", "- held", "- kept"),
        (automation_parts_are_described, "trigger.py", '"session_ended"', '"ended"'),
        (automation_parts_are_described, "triggers.yaml", "session_ended:", "ended:"),
        (automation_parts_are_described, "triggers.yaml", "    for:", "    during:"),
        (automation_parts_are_described, "triggers.yaml", "duration:", "length:"),
        (automation_parts_are_described, "triggers.yaml", "required:", "needed:"),
        (
            automation_parts_are_described,
            "triggers.yaml",
            "    outcome:\n",
            "    outcome:\n      context:\n        filter_target: target\n",
        ),
        (automation_parts_are_described, "condition.py", '"is_charging"', '"charges"'),
        (
            automation_parts_are_described,
            "conditions.yaml",
            "is_charging:",
            "charging:",
        ),
        (automation_parts_are_described, "icons.json", '"condition"', '"icon"'),
        (automation_parts_are_described, "icons.json", '"card_presented"', '"card"'),
        (
            automation_parts_are_described,
            "translations/en.json",
            '"description": "Triggers when one or more cars are plugged',
            '"text": "Triggers when one or more cars are plugged',
        ),
        (
            automation_parts_are_described,
            "translations/en.json",
            '"name": "Trigger when"',
            '"title": "Trigger when"',
        ),
        (
            action_placeholders_are_given,
            "translations/en.json",
            "Zaptec IDs",
            "{url}",
        ),
    ],
)
def test_rules_notice(
    tmp_path: Path, rule: Rule, file: str, old: str, new: str
) -> None:
    """Each rule notices a mistake of its kind."""
    copy = altered_copy(ZAPTEC, tmp_path, file, old, new)

    assert rule(copy) != []


def test_all_languages_are_there() -> None:
    """There are translations for the countries where the chargers are sold, and no others."""
    files = (ZAPTEC.path / "translations").glob("*")

    assert {file.name for file in files} == {f"{name}.json" for name in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_fit(language: str) -> None:
    """Each translation has the same texts as English, with the same placeholders."""
    english = dict(leaves(ZAPTEC.translations))
    document = ZAPTEC.document(f"translations/{language}.json")
    translated = dict(leaves(document))

    assert translated.keys() == english.keys()
    assert plain_texts(document) == []
    assert {path: placeholders(text) for path, text in translated.items()} == {
        path: placeholders(text) for path, text in english.items()
    }


def test_manifest_is_accepted_by_home_assistant_and_hacs() -> None:
    """The manifest has only known keys, all that HACS requires, and a valid version."""
    manifest = ZAPTEC.manifest
    needed = {
        "codeowners",
        "config_flow",
        "documentation",
        "domain",
        "integration_type",
        "iot_class",
        "issue_tracker",
        "name",
        "version",
    }

    assert needed <= set(manifest) <= MANIFEST_KEYS
    assert manifest["domain"] == ZAPTEC.path.name
    assert manifest["config_flow"] is ("config_flow.py" in ZAPTEC.modules)
    assert manifest["documentation"].startswith("https://")
    assert all(owner.startswith("@") for owner in manifest["codeowners"])
    assert AwesomeVersion(manifest["version"]).strategy in (
        AwesomeVersionStrategy.SEMVER,
        AwesomeVersionStrategy.CALVER,
    )


def test_requirements_are_those_of_the_tests() -> None:
    """The tests use the same versions of the requirements as users get."""
    pinned = dict(
        line.split("==")
        for line in (ROOT / "requirements_test.txt").read_text("utf-8").splitlines()
    )
    for requirement in ZAPTEC.manifest.get("requirements", []):
        assert " " not in requirement
        name = re.split(r"[<>=!~]", requirement)[0]
        assert name in pinned, f"{requirement} is not in requirements_test.txt"
        assert version(name) == pinned[name]


def test_versions_agree() -> None:
    """The manifest and pyproject.toml have the same version."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert f'\nversion = "{ZAPTEC.manifest["version"]}"\n' in project


def test_hacs_json() -> None:
    """hacs.json is valid, and its minimum Home Assistant is not newer than the tested one."""
    document = json.loads((ROOT / "hacs.json").read_text(encoding="utf-8"))

    assert {"name", "homeassistant"} <= set(document) <= HACS_KEYS
    assert AwesomeVersion(document["homeassistant"]) <= ha_const.__version__


def test_repository_has_what_hacs_looks_for() -> None:
    """The repository has one integration, a README and a licence, as HACS requires."""
    folders = [
        item.name
        for item in (ROOT / "custom_components").iterdir()
        if item.is_dir() and item.name != "__pycache__"
    ]

    assert folders == ["zaptec"]
    assert (ROOT / "README.md").stat().st_size > 0
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def imported(file: Path) -> Iterator[str]:
    """Yield the full names of the modules that a file of the repository imports."""
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("custom_components/zaptec/api", ("homeassistant", "probatio", "voluptuous")),
        ("custom_components", ("simulator", "scripts", "tests")),
        ("simulator", ("custom_components", "homeassistant", "scripts", "tests")),
        ("scripts/demo_home", ("custom_components", "tests")),
    ],
)
def test_imports_run_downward(folder: str, forbidden: tuple[str, ...]) -> None:
    """The API does not import Home Assistant, and the simulator does not import the integration."""
    files = sorted((ROOT / folder).rglob("*.py"))

    assert files
    for file in files:
        for name in imported(file):
            assert name.partition(".")[0] not in forbidden, f"{file}: {name}"


def test_api_stands_alone() -> None:
    """The API package imports nothing from the integration around it."""
    api = "custom_components.zaptec.api"
    for file in sorted((ZAPTEC.path / "api").rglob("*.py")):
        for name in imported(file):
            if name.startswith("custom_components"):
                assert name == api or name.startswith(f"{api}."), f"{file}: {name}"


def test_no_call_that_the_vendor_forbids() -> None:
    """No path that the integration requests is on the vendor's list of forbidden ones."""
    documentable = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for name, module in ZAPTEC.modules.items():
        documented = {
            node.body[0].value
            for node in ast.walk(module)
            if isinstance(node, documentable)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(module):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node not in documented
            ):
                assert not FORBIDDEN_CALLS.search(node.value), f"{name}: {node.value}"
