"""The rules of the integration quality scale that a program can check.

CHECKS apply to any integration, and are tested with those of Home Assistant's core.
REPOSITORY_CHECKS look at what core keeps outside of the integration (images,
documentation, CI).
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from itertools import chain
from pathlib import Path
import re
import struct
import tomllib
from typing import Any

import homeassistant

from .integration_source import (
    Integration,
    called,
    exceptions_are_translated,
    exceptions_have_a_text,
    fields_are_described,
    keyword,
    leaves,
    registers_action,
    texts,
)

type Rule = Callable[[Integration], list[str]]
type Function = ast.FunctionDef | ast.AsyncFunctionDef

CORE = Path(homeassistant.__file__).parent / "components"

# Functions that receive the config entry as their second argument.
_TAKES_ENTRY = {
    "async_get_config_entry_diagnostics",
    "async_get_device_diagnostics",
    "async_migrate_entry",
    "async_remove_config_entry_device",
    "async_remove_entry",
    "async_setup_entry",
    "async_unload_entry",
}
_ENTRY_TYPE = re.compile(r"\w+ConfigEntry")
_NOT_READY = {"ConfigEntryAuthFailed", "ConfigEntryError", "ConfigEntryNotReady"}
_SESSIONS = {
    "OAuth2Session",
    "async_create_clientsession",
    "async_get_clientsession",
    "create_async_httpx_client",
    "get_async_client",
}
_SUBSCRIPTIONS = re.compile(
    r"async_(add_listener|dispatcher_connect|listen|listen_once|track_\w+)"
)
_ACTION_METHODS = re.compile(
    r"async_(turn_(on|off)|press|set_\w+|select_option|install|lock|unlock|toggle)"
)
_BLOCKING = {"http.client", "requests", "urllib.request", "urllib3"}
_LICENCES = re.compile(r"\b(Apache|BSD|ISC|MIT|MPL|LGPL|GPL|PSF|Python Software)")
# Icons that Home Assistant itself does not use; test_the_list_of_icons checks that they exist.
OTHER_ICONS = frozenset(
    {
        "mdi:card-account-details-outline",
        "mdi:cloud-lock",
        "mdi:cloud-sync",
        "mdi:lock-open-variant-outline",
        "mdi:network-off-outline",
        "mdi:shield-account",
        "mdi:webhook",
    }
)


def _functions(tree: ast.AST) -> Iterator[Function]:
    """Yield the functions in a piece of source."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _function(integration: Integration, module: str, name: str) -> Function | None:
    """Return a function of a module."""
    body = integration.modules.get(module, ast.Module([], [])).body
    return next(
        (
            node
            for node in body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == name
        ),
        None,
    )


def _method(integration: Integration, module: str, name: str) -> Function | None:
    """Return a method of any class of a module."""
    return next(
        (
            node
            for node in _functions(integration.modules.get(module, ast.Module([], [])))
            if node.name == name
        ),
        None,
    )


def _bases(node: ast.ClassDef) -> set[str]:
    """Return the names of the bases of a class."""
    names = set()
    for base in node.bases:
        match base.value if isinstance(base, ast.Subscript) else base:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                names.add(name)
    return names


def _descendants(
    integration: Integration, root: re.Pattern[str]
) -> list[tuple[str, ast.ClassDef]]:
    """Return the classes that derive from a class whose name matches a pattern."""
    classes = list(integration.nodes(ast.ClassDef))
    own = {node.name for _, node in classes}
    found: set[str] = set()
    before = -1
    while before != len(found):
        before = len(found)
        found |= {
            node.name
            for _, node in classes
            if any(
                base in found or (base not in own and root.fullmatch(base))
                for base in _bases(node)
            )
        }
    return [(name, node) for name, node in classes if node.name in found]


def _entities(integration: Integration) -> list[tuple[str, ast.ClassDef]]:
    """Return the classes of entities."""
    return _descendants(integration, re.compile(r"\w*Entity"))


def _coordinators(integration: Integration) -> list[tuple[str, ast.ClassDef]]:
    """Return the classes of coordinators."""
    return _descendants(integration, re.compile(r"\w*DataUpdateCoordinator"))


def _assigned(node: ast.stmt, name: str) -> ast.expr | None:
    """Return what a statement assigns to a name or an attribute of that name."""
    targets: list[ast.expr] = []
    match node:
        case ast.Assign():
            targets = node.targets
        case ast.AnnAssign():
            targets = [node.target]
        case _:
            return None
    for target in targets:
        match target:
            case ast.Name(id=known) | ast.Attribute(attr=known) if known == name:
                return node.value
    return None


def _assignments(integration: Integration, name: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is assigned to a name or an attribute of that name, with its module."""
    for module, node in chain(
        integration.nodes(ast.Assign), integration.nodes(ast.AnnAssign)
    ):
        if (value := _assigned(node, name)) is not None:
            yield module, value


def _descriptions(integration: Integration) -> Iterator[tuple[str, ast.Call]]:
    """Yield the descriptions of entities."""
    own = {
        node.name
        for _, node in _descendants(integration, re.compile(r"\w*EntityDescription"))
    }
    for module, call in integration.calls():
        if called(call) in own or called(call).endswith("EntityDescription"):
            yield module, call


def _where(module: str, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
    """Return the file and line of a node, for a message."""
    return f"{module}:{node.lineno}"


def _reachable(integration: Integration, start: Function) -> list[Function]:
    """Return a function and all functions of the integration that it calls, also indirectly."""
    known = {
        node.name: node
        for module in integration.modules.values()
        for node in module.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name not in ("async_setup", "async_setup_entry")
    }
    found = [start]
    for function in found:
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Name)
                and node.id in known
                and known[node.id] not in found
            ):
                found.append(known[node.id])
    return found


def actions_outlive_entries(integration: Integration) -> list[str]:
    """Actions are registered when the integration is set up, not when an entry is."""
    problems = []
    entry = _function(integration, "__init__.py", "async_setup_entry")
    for function in _reachable(integration, entry) if entry else ():
        problems += [
            f"{function.name} registers an action"
            for node in ast.walk(function)
            if registers_action(node)
        ]
    if not integration.services:
        return problems
    setup = _function(integration, "__init__.py", "async_setup")
    if setup is None:
        return [*problems, "no async_setup"]
    if not any(
        registers_action(node)
        for function in _reachable(integration, setup)
        for node in ast.walk(function)
    ):
        problems.append("async_setup registers no action")
    if not any(
        _assigned(node, "CONFIG_SCHEMA")
        for node in integration.modules["__init__.py"].body
    ):
        problems.append("no CONFIG_SCHEMA")
    return problems


def polls_at_its_own_pace(integration: Integration) -> list[str]:
    """Each coordinator sets its polling interval, and no form asks the user for it."""
    given = any(
        item.arg == "update_interval" for _, item in integration.nodes(ast.keyword)
    ) or any(_assignments(integration, "update_interval"))
    problems = [
        f"{'.'.join(path)}: the user is asked for it"
        for flow in ("config", "options")
        for path, _ in leaves(integration.translations.get(flow, {}))
        if path[-1] in ("scan_interval", "update_interval") and "data" in path
    ]
    if _coordinators(integration) and not given:
        problems.append("no update_interval")
    return problems


def common_classes_have_their_module(integration: Integration) -> list[str]:
    """Coordinators are in coordinator.py, and base entities in entity.py."""
    problems = [
        f"{module}: {node.name}"
        for module, node in _coordinators(integration)
        if not module.startswith("coordinator")
    ]
    entities = _entities(integration)
    homes = {node.name: module for module, node in entities}
    return problems + sorted(
        {
            f"{homes[base]}: {base}"
            for module, node in entities
            for base in _bases(node)
            if base in homes
            and homes[base] != module
            and not homes[base].startswith("entity")
        }
    )


def entities_subscribe_late(integration: Integration) -> list[str]:
    """No entity subscribes to events before it has been added to Home Assistant."""
    return [
        _where(module, call)
        for module, node in _entities(integration)
        for function in _functions(node)
        if function.name == "__init__"
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and _SUBSCRIPTIONS.fullmatch(called(call))
    ]


def entities_have_a_unique_id(integration: Integration) -> list[str]:
    """Each entity has a unique id, which contains neither the domain nor an address."""
    given = [value for _, value in _assignments(integration, "_attr_unique_id")]
    problems = [
        f"unique id: {ast.unparse(value)}"
        for value in given
        for node in ast.walk(value)
        if (isinstance(node, ast.Name) and node.id in ("DOMAIN", "CONF_HOST"))
        or (isinstance(node, ast.Constant) and node.value == str(integration))
    ]
    if not given and not any(
        function.name == "unique_id"
        for _, node in _entities(integration)
        for function in _functions(node)
    ):
        problems.append("no unique id")
    return problems


def entities_have_a_name_of_their_own(integration: Integration) -> list[str]:
    """Each entity sets has_entity_name, so that its name is combined with the device's."""
    values = [
        value
        for _, value in _assignments(integration, "_attr_has_entity_name")
        if isinstance(value, ast.Constant)
    ]
    problems = [] if any(value.value for value in values) else ["not said"]
    return problems + ["False" for value in values if not value.value]


def runtime_data_is_used(integration: Integration) -> list[str]:
    """Data of an entry is in its runtime_data, which is typed."""
    problems = [
        f"{_where(module, node)}: hass.data"
        for module, node in integration.nodes(ast.Subscript)
        if ast.unparse(node) == "hass.data[DOMAIN]"
    ]
    if not any(_assignments(integration, "runtime_data")):
        problems.append("runtime_data is not set")
    entry_modules = {"__init__", *integration.platforms}
    return problems + [
        f"{_where(name, function)}: ConfigEntry without a type"
        for name, module in integration.modules.items()
        for function in module.body
        if isinstance(function, ast.AsyncFunctionDef)
        and function.name in _TAKES_ENTRY
        and (
            function.name != "async_setup_entry"
            or name.removesuffix(".py") in entry_modules
        )
        and not _ENTRY_TYPE.fullmatch(
            ast.unparse(function.args.args[1].annotation or ast.Constant(None))
        )
    ]


def flow_tries_before_it_stores(integration: Integration) -> list[str]:
    """The config flow tests the connection before it creates an entry."""
    if any(
        "OAuth2" in base
        for _, node in integration.nodes(ast.ClassDef)
        for base in _bases(node)
    ):
        return []
    tries = any(
        isinstance(part, ast.Await)
        for module, node in integration.nodes(ast.Try)
        if module == "config_flow.py"
        for item in node.body
        for part in ast.walk(item)
    )
    return [] if tries else ["nothing is tried"]


def _raised(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names of the exceptions that are raised."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Raise):
            match node.exc.func if isinstance(node.exc, ast.Call) else node.exc:
                case ast.Attribute(attr=name) | ast.Name(id=name):
                    names.add(name)
    return names


def setup_fails_early(integration: Integration) -> list[str]:
    """The set-up of an entry raises an exception if it cannot succeed."""
    later = {
        node
        for _, function in integration.nodes(ast.AsyncFunctionDef)
        if function.name == "_async_update_data"
        for node in ast.walk(function)
    }
    raises = _raised(
        node for _, node in integration.nodes(ast.Raise) if node not in later
    )
    if any(integration.calls("async_config_entry_first_refresh")):
        return []
    return [] if raises & _NOT_READY else ["nothing is tried"]


def entries_are_unique(integration: Integration) -> list[str]:
    """The same account cannot be set up twice."""
    if integration.manifest.get("single_config_entry") or any(
        module == "config_flow.py"
        for module, _ in integration.calls(
            "_abort_if_unique_id_configured", "_async_abort_entries_match"
        )
    ):
        return []
    return ["nothing keeps an account from being set up twice"]


def failed_actions_raise(integration: Integration) -> list[str]:
    """An action that fails raises an exception instead of failing silently."""
    asked = [
        (module, function)
        for module, node in _entities(integration)
        for function in _functions(node)
        if _ACTION_METHODS.fullmatch(function.name)
    ]
    asked += [
        ("services.py", function)
        for function in _functions(
            integration.modules.get("services.py", ast.Module([], []))
        )
    ]
    return sorted(
        {
            _where(module, handler)
            for module, function in asked
            for handler in ast.walk(function)
            if isinstance(handler, ast.ExceptHandler)
            and all(_is_silent(node) for node in handler.body)
        }
    )


def _is_silent(node: ast.stmt) -> bool:
    """Return whether a statement does nothing, or only writes to the log."""
    match node:
        case ast.Pass() | ast.Continue():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in ("LOGGER", "_LOGGER")
    return False


def entries_can_be_unloaded(integration: Integration) -> list[str]:
    """Each entry can be unloaded."""
    unload = _function(integration, "__init__.py", "async_unload_entry")
    if unload is None:
        return ["no async_unload_entry"]
    forwards = any(integration.calls("async_forward_entry_setups"))
    # Since Home Assistant 2026.11, core integrations call the second of these methods.
    unloads = ("async_unload_platforms", "async_unload_platforms_or_raise")
    if forwards and not any(integration.calls(*unloads)):
        return ["the platforms are not unloaded"]
    return []


def entities_become_unavailable(integration: Integration) -> list[str]:
    """Entities follow a coordinator, or define `available`."""
    if any(
        "CoordinatorEntity" in base
        for _, node in integration.nodes(ast.ClassDef)
        for base in _bases(node)
    ):
        return []
    if any(_assignments(integration, "_attr_available")) or any(
        function.name == "available"
        for _, node in _entities(integration)
        for function in _functions(node)
    ):
        return []
    return ["entities are always available"]


def has_owner(integration: Integration) -> list[str]:
    """The manifest names a code owner."""
    return [] if integration.manifest["codeowners"] else ["no code owner"]


def parallel_updates(integration: Integration) -> list[str]:
    """Each platform sets PARALLEL_UPDATES."""
    return [
        platform
        for platform in integration.platforms
        if not any(
            _assigned(node, "PARALLEL_UPDATES")
            for node in integration.modules[f"{platform}.py"].body
        )
    ]


def can_sign_in_again(integration: Integration) -> list[str]:
    """A password that is no longer valid starts a reauthentication."""
    problems = []
    if _method(integration, "config_flow.py", "async_step_reauth") is None:
        problems.append("no async_step_reauth")
    raised = _raised(node for _, node in integration.nodes(ast.Raise))
    if "ConfigEntryAuthFailed" not in raised and not any(
        integration.calls("async_start_reauth")
    ):
        problems.append("nothing starts it")
    return problems


def can_be_reconfigured(integration: Integration) -> list[str]:
    """What the user entered in the config flow can be changed."""
    problems = []
    if _method(integration, "config_flow.py", "async_step_reconfigure") is None:
        problems.append("no async_step_reconfigure")
    # Another flow may change the subentries.
    if not any(
        module == "config_flow.py"
        for module, _ in integration.calls(
            "_get_reconfigure_entry", "_get_reconfigure_subentry"
        )
    ):
        problems.append("it does not look at the entry")
    return problems


def devices_are_described(integration: Integration) -> list[str]:
    """Entities belong to devices, which have identifiers and a description."""
    given = {
        item.arg
        for _, call in integration.calls("DeviceInfo", "async_get_or_create")
        for item in call.keywords
    }
    return [] if given & {"identifiers", "connections"} else ["no identifiers"]


def diagnostics_can_be_downloaded(integration: Integration) -> list[str]:
    """Diagnostics can be downloaded for an entry or a device."""
    if not any(
        _function(integration, "diagnostics.py", f"async_get_{kind}_diagnostics")
        for kind in ("config_entry", "device")
    ):
        return ["no diagnostics"]
    return []


def names_are_translated(integration: Integration) -> list[str]:
    """No entity has a hard-coded name; names come from the translations."""
    problems = [
        f"{_where(module, call)}: {name}"
        for module, call in _descriptions(integration)
        for name in texts(keyword(call, "name"))
    ]
    return problems + [
        f"{module}: {name}"
        for module, value in _assignments(integration, "_attr_name")
        for name in texts(value)
    ]


def icons_are_not_in_the_source(integration: Integration) -> list[str]:
    """No entity has a hard-coded icon; icons come from icons.json."""
    problems = [
        f"{_where(module, call)}: {ast.unparse(icon)}"
        for module, call in _descriptions(integration)
        for icon in [keyword(call, "icon")]
        if icon is not None
    ]
    return problems + [
        f"{module}: {ast.unparse(value)}"
        for module, value in _assignments(integration, "_attr_icon")
    ]


@cache
def known_icons() -> frozenset[str]:
    """Return the icons that are known to exist, most of them because Home Assistant uses them."""
    return OTHER_ICONS.union(
        icon
        for file in CORE.glob("*/icons.json")
        for icon in re.findall(r'"(mdi:[^"]*)"', file.read_text(encoding="utf-8"))
    )


def icons_exist(integration: Integration) -> list[str]:
    """All icons are among those that are known to exist."""
    return [
        f"icons.{'.'.join(path)}: {icon}"
        for path, icon in leaves(integration.icons)
        if icon not in known_icons()
    ]


def issues_can_be_fixed(integration: Integration) -> list[str]:
    """Each issue that is marked as fixable has a repair flow."""
    fixable = any(
        isinstance(value := keyword(call, "is_fixable"), ast.Constant) and value.value
        for _, call in integration.calls("async_create_issue")
    )
    if fixable and not _function(integration, "repairs.py", "async_create_fix_flow"):
        return ["no async_create_fix_flow"]
    return []


def nothing_blocks(integration: Integration) -> list[str]:
    """No library is used that blocks while it waits for the network."""
    imported = [
        (module, name.name)
        for module, node in integration.nodes(ast.Import)
        for name in node.names
    ]
    imported += [
        (module, node.module or "")
        for module, node in integration.nodes(ast.ImportFrom)
    ]
    return [f"{module}: {name}" for module, name in imported if name in _BLOCKING]


def session_is_handed_in(integration: Integration) -> list[str]:
    """The HTTP connections are those of Home Assistant's own session."""
    problems = [
        f"{_where(module, call)}: a session of its own"
        for module, call in integration.calls("ClientSession")
    ]
    if not any(integration.calls(*_SESSIONS)):
        problems.append("no session is handed in")
    return problems


def functions_are_typed(integration: Integration) -> list[str]:
    """Each function has type annotations for its arguments and its result."""
    problems = []
    functions: Iterator[tuple[str, Function]] = chain(
        integration.nodes(ast.FunctionDef), integration.nodes(ast.AsyncFunctionDef)
    )
    for module, function in functions:
        arguments = function.args
        taken = [
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *([arguments.vararg] if arguments.vararg else []),
            *([arguments.kwarg] if arguments.kwarg else []),
        ]
        if (function.returns is None and function.name != "__init__") or any(
            item.annotation is None and item.arg not in ("self", "cls")
            for item in taken
        ):
            problems.append(f"{_where(module, function)}: {function.name}")
    return problems


def brand_images(integration: Integration) -> list[str]:
    """The icon is a square PNG of the sizes that Home Assistant shows."""
    problems = []
    for name, size in (("icon.png", 256), ("icon@2x.png", 512)):
        file = integration.path / "brand" / name
        image = file.read_bytes() if file.exists() else b""
        if not image.startswith(b"\x89PNG\r\n\x1a\n") or image[16:24] != struct.pack(
            ">II", size, size
        ):
            problems.append(f"brand/{name}")
    return problems


def requirements_are_free(integration: Integration) -> list[str]:
    """All requirements are open source."""
    problems = []
    for requirement in integration.manifest.get("requirements", ()):
        try:
            about = metadata(re.split(r"[<>=!~\[]", requirement)[0])
        except PackageNotFoundError:
            problems.append(f"{requirement}: not installed")
            continue
        licence = " ".join(
            str(item)
            for key in ("License", "License-Expression", "Classifier")
            for item in about.get_all(key, [])
            if key != "Classifier" or item.startswith("License")
        )
        if not _LICENCES.search(licence):
            problems.append(f"{requirement}: {licence or 'no licence'}")
    return problems


def flow_is_covered(integration: Integration) -> list[str]:
    """CI requires that the tests cover each line of the config flow."""
    script = (integration.repository / "scripts" / "test").read_text(encoding="utf-8")
    wanted = re.compile(r"config_flow\.py' --fail-under=100$", re.MULTILINE)
    return [] if wanted.search(script) else ["scripts/test"]


def all_is_covered(integration: Integration) -> list[str]:
    """CI requires that the tests cover nearly every line."""
    script = (integration.repository / "scripts" / "test").read_text(encoding="utf-8")
    least = _project(integration)["coverage"]["report"]["fail_under"]
    return [] if least >= 95 and " --cov " in script else ["fail_under"]


def types_are_checked(integration: Integration) -> list[str]:
    """Mypy checks all files in strict mode."""
    script = (integration.repository / "scripts" / "test").read_text(encoding="utf-8")
    settings = _project(integration)["mypy"]
    strict = settings["strict"] is True and "custom_components" in settings["files"]
    return [] if strict and " -m mypy\n" in script else ["mypy is not strict"]


def _project(integration: Integration) -> dict[str, Any]:
    """Return the settings in pyproject.toml."""
    text = (integration.repository / "pyproject.toml").read_text(encoding="utf-8")
    tools: dict[str, Any] = tomllib.loads(text)["tool"]
    return tools


def _readme(integration: Integration) -> str:
    """Return the README."""
    return (integration.repository / "README.md").read_text(encoding="utf-8")


def _section(integration: Integration, heading: str) -> str:
    """Return the text under a heading of the README, including its subsections."""
    lines = _readme(integration).splitlines()
    found: list[str] = []
    level = 0
    fenced = False
    for line in lines:
        fenced ^= line.startswith("```")
        title = None if fenced else re.fullmatch(r"(#+) +(.*?) *", line)
        if title and level and len(title[1]) <= level:
            break
        if level:
            found.append(line)
        elif title and len(title[1]) <= 3 and title[2].lower() == heading.lower():
            level = len(title[1])
    return "\n".join(found).strip()


def section(heading: str) -> Rule:
    """Return a check that the README has a section that is not empty."""

    def check(integration: Integration) -> list[str]:
        text = _section(integration, heading)
        return [] if text else [f"README.md: no section {heading}"]

    check.__name__ = f"section {heading}"
    return check


def readme_begins_with_what_it_is(integration: Integration) -> list[str]:
    """The README says what the integration is for before its first section."""
    begin = re.split(r"^##", _readme(integration), maxsplit=1, flags=re.MULTILINE)[0]
    text = re.sub(r"^#.*$", "", begin, flags=re.MULTILINE)
    return [] if len(text.split()) >= 20 else ["README.md: no description"]


def _fields_in_readme(integration: Integration, flow: str) -> list[str]:
    """Return the fields of a flow that the README does not mention."""
    readme = _readme(integration)
    return [
        f"README.md: {label}"
        for step in integration.translations.get(flow, {}).get("step", {}).values()
        for label in step.get("data", {}).values()
        if label not in readme
    ]


def sign_in_is_documented(integration: Integration) -> list[str]:
    """The README mentions each field of the config flow."""
    return _fields_in_readme(integration, "config")


def options_are_documented(integration: Integration) -> list[str]:
    """The README mentions each option."""
    return _fields_in_readme(integration, "options")


def actions_are_documented(integration: Integration) -> list[str]:
    """The README mentions each action."""
    text = _section(integration, "Actions")
    return [
        f"README.md: {name}"
        for name in integration.services
        if not re.search(rf"\b{name}\b", text)
    ]


def _undocumented(integration: Integration, kind: str) -> list[str]:
    """Return the triggers or conditions that the page about automations does not mention."""
    page = integration.repository / "docs" / "automations.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return [
        f"{page.name}: {name}"
        for name in integration.described(kind)
        if f"`{integration}.{name}`" not in text
    ]


def triggers_are_documented(integration: Integration) -> list[str]:
    """The page about automations mentions each trigger."""
    return _undocumented(integration, "triggers")


def conditions_are_documented(integration: Integration) -> list[str]:
    """The page about automations mentions each condition."""
    return _undocumented(integration, "conditions")


def examples_can_be_copied(integration: Integration) -> list[str]:
    """The README has examples in YAML that users can copy."""
    text = _section(integration, "Examples")
    return [] if "```yaml" in text else ["README.md: no example in YAML"]


CHECKS: dict[str, tuple[Rule, ...]] = {
    "action-setup": (actions_outlive_entries,),
    "appropriate-polling": (polls_at_its_own_pace,),
    "common-modules": (common_classes_have_their_module,),
    "config-flow": (fields_are_described,),
    "entity-event-setup": (entities_subscribe_late,),
    "entity-unique-id": (entities_have_a_unique_id,),
    "has-entity-name": (entities_have_a_name_of_their_own,),
    "runtime-data": (runtime_data_is_used,),
    "test-before-configure": (flow_tries_before_it_stores,),
    "test-before-setup": (setup_fails_early,),
    "unique-config-entry": (entries_are_unique,),
    "action-exceptions": (failed_actions_raise,),
    "config-entry-unloading": (entries_can_be_unloaded,),
    "entity-unavailable": (entities_become_unavailable,),
    "integration-owner": (has_owner,),
    "parallel-updates": (parallel_updates,),
    "reauthentication-flow": (can_sign_in_again,),
    "devices": (devices_are_described,),
    "diagnostics": (diagnostics_can_be_downloaded,),
    "entity-translations": (names_are_translated,),
    "exception-translations": (exceptions_have_a_text, exceptions_are_translated),
    "icon-translations": (icons_are_not_in_the_source, icons_exist),
    "reconfiguration-flow": (can_be_reconfigured,),
    "repair-issues": (issues_can_be_fixed,),
    "async-dependency": (nothing_blocks,),
    "inject-websession": (session_is_handed_in,),
    "strict-typing": (functions_are_typed,),
}

# Core keeps its images, its documentation and its CI outside of the integration.
REPOSITORY_CHECKS: dict[str, tuple[Rule, ...]] = {
    "brands": (brand_images,),
    "config-flow-test-coverage": (flow_is_covered,),
    "dependency-transparency": (requirements_are_free,),
    "docs-actions": (actions_are_documented,),
    "docs-conditions": (conditions_are_documented,),
    "docs-triggers": (triggers_are_documented,),
    "docs-high-level-description": (readme_begins_with_what_it_is,),
    "docs-installation-instructions": (section("Installation"),),
    "docs-removal-instructions": (section("Removal"),),
    "docs-configuration-parameters": (
        section("Configuration"),
        options_are_documented,
    ),
    "docs-installation-parameters": (sign_in_is_documented,),
    "test-coverage": (all_is_covered,),
    "docs-data-update": (section("How the data is updated"),),
    "docs-examples": (examples_can_be_copied,),
    "docs-known-limitations": (section("Known limitations"),),
    "docs-supported-devices": (section("Supported devices"),),
    "docs-supported-functions": (section("Entities"), section("Actions")),
    "docs-troubleshooting": (section("Troubleshooting"),),
    "docs-use-cases": (section("Examples"),),
    "strict-typing": (types_are_checked,),
}

# Rules that cannot be checked from the sources, each with the test that checks it.
SHOWN_BY_TESTS = {
    # This rule can only be checked while the integration runs.
    "dynamic-devices": "test_push.py::test_a_new_charger_appears_and_a_removed_one_goes",
    "log-when-unavailable": "test_push.py::test_a_cut_of_20_s_loses_nothing",
    "stale-devices": "test_push.py::test_a_new_charger_appears_and_a_removed_one_goes",
    # Which values fit an entity has to be judged by a reviewer, who reads the snapshots.
    "entity-category": "test_platforms.py::test_entities",
    "entity-device-class": "test_platforms.py::test_entities",
    "entity-disabled-by-default": "test_platforms.py::test_entities",
}
