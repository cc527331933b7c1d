"""The rules of the integration quality scale that a program can check.

CHECKS hold for any integration and are calibrated on those of Home Assistant's core;
REPOSITORY_CHECKS look at what core keeps elsewhere (images, documentation, CI).
"""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import metadata
import json
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
    placeholders,
    texts,
)

type Rule = Callable[[Integration], list[str]]
type Function = ast.FunctionDef | ast.AsyncFunctionDef

CORE = Path(homeassistant.__file__).parent / "components"

# Where an entry is handed in, as the second argument.
_TAKES_ENTRY = {
    "async_get_config_entry_diagnostics",
    "async_get_device_diagnostics",
    "async_migrate_entry",
    "async_remove_config_entry_device",
    "async_remove_entry",
    "async_setup_entry",
    "async_unload_entry",
}
_ENTRY_TYPE = re.compile(r"[A-Za-z]+ConfigEntry")
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


def _method(
    integration: Integration, module: str, name: str
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return a method of any class of a module."""
    return next(
        (
            node
            for node in _functions(
                integration.modules.get(module, ast.Module([], []))
            )
            if node.name == name
        ),
        None,
    )


def _bases(node: ast.ClassDef) -> set[str]:
    """Return the names of the bases of a class."""
    names = set()
    for base in node.bases:
        if isinstance(base, ast.Subscript):
            base = base.value
        match base:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                names.add(name)
    return names


def _descendants(
    integration: Integration, root: re.Pattern[str]
) -> list[tuple[str, ast.ClassDef]]:
    """Return the classes that derive from one of others, which match a pattern."""
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
    match node:
        case ast.Assign(targets=targets, value=value):
            pass
        case ast.AnnAssign(target=target, value=value) if value is not None:
            targets = [target]
        case _:
            return None
    for target in targets:
        match target:
            case ast.Name(id=known) | ast.Attribute(attr=known) if known == name:
                return value
    return None


def _assignments(integration: Integration, name: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is assigned to a name or an attribute of that name, with the module."""
    for module, node in integration.nodes(ast.Assign, ast.AnnAssign):
        if (value := _assigned(node, name)) is not None:
            yield module, value


def _descriptions(integration: Integration) -> Iterator[tuple[str, ast.Call]]:
    """Yield the descriptions of entities."""
    for module, call in integration.calls():
        if called(call).endswith("EntityDescription") or (
            called(call).endswith("Description")
            and keyword(call, "translation_key") is not None
        ):
            yield module, call


def _where(module: str, node: ast.stmt | ast.expr) -> str:
    """Return where something is, for a person."""
    return f"{module}:{node.lineno}"


def _registers_action(node: ast.AST) -> bool:
    """Return whether this registers an action."""
    match node:
        case ast.Call(
            func=ast.Attribute(
                attr="async_register" | "register",
                value=ast.Attribute(attr="services"),
            )
        ):
            return True
        case ast.Call():
            return called(node) in (
                "async_register_admin_service",
                "async_register_platform_entity_service",
            )
    return False


def _reachable(integration: Integration, start: Function) -> list[Function]:
    """Return a function and the ones of the integration that it leads to."""
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
    """Actions are registered when the integration is set up, not with an account."""
    problems = []
    entry = _function(integration, "__init__.py", "async_setup_entry")
    for function in _reachable(integration, entry) if entry else ():
        problems += [
            f"{function.name} registers an action"
            for node in ast.walk(function)
            if _registers_action(node)
        ]
    setup = _function(integration, "__init__.py", "async_setup")
    if setup is None:
        return [*problems, "no async_setup"]
    if not any(
        _registers_action(node)
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
    """Each coordinator says how often it polls, and no form asks for that."""
    problems = []
    for module, node in _coordinators(integration):
        for function in _functions(node):
            if function.name != "__init__":
                continue
            problems += [
                f"{_where(module, call)}: no update_interval"
                for call in ast.walk(function)
                if isinstance(call, ast.Call)
                and ast.unparse(call.func) == "super().__init__"
                and keyword(call, "update_interval") is None
            ]
    problems += [
        f"{'.'.join(path)}: a person is asked for it"
        for flow in ("config", "options")
        for path, _ in leaves(integration.translations.get(flow, {}))
        if path[-1] in ("scan_interval", "update_interval") and "data" in path
    ]
    return problems


def common_classes_have_their_module(integration: Integration) -> list[str]:
    """Coordinators are in coordinator.py, the entities' common base in entity.py."""
    problems = [
        f"{module}: {node.name}"
        for module, node in _coordinators(integration)
        if not module.startswith("coordinator")
    ]
    if len(integration.platforms) > 1:
        problems += [
            f"{module}: {node.name}"
            for module, node in integration.nodes(ast.ClassDef)
            if "CoordinatorEntity" in _bases(node) and not module.startswith("entity")
        ]
    return problems


def entities_subscribe_late(integration: Integration) -> list[str]:
    """No entity subscribes to anything before it has been added."""
    return [
        _where(module, call)
        for module, node in _entities(integration)
        for function in _functions(node)
        if function.name == "__init__"
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and _SUBSCRIPTIONS.fullmatch(called(call))
    ]


def entities_have_a_unique_id(integration: Integration) -> list[str]:
    """There is a unique id, which names neither the domain nor an address."""
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
    """Names are those of the entity, to go with the device's."""
    values = [
        value
        for _, value in _assignments(integration, "_attr_has_entity_name")
        if isinstance(value, ast.Constant)
    ]
    problems = [] if any(value.value for value in values) else ["not said"]
    return problems + ["False" for value in values if not value.value]


def runtime_data_is_used(integration: Integration) -> list[str]:
    """What an entry holds is at the entry, which has a type."""
    problems = [
        f"{_where(module, node)}: hass.data"
        for module, node in integration.nodes(ast.Subscript)
        if ast.unparse(node) == "hass.data[DOMAIN]"
    ]
    if not any(_assignments(integration, "runtime_data")):
        problems.append("runtime_data is not set")
    for name, module in integration.modules.items():
        for function in module.body:
            if (
                isinstance(function, ast.AsyncFunctionDef)
                and function.name in _TAKES_ENTRY
                and (
                    function.name != "async_setup_entry"
                    or name.removesuffix(".py")
                    in ("__init__", *integration.platforms)
                )
                and not _ENTRY_TYPE.fullmatch(
                    ast.unparse(function.args.args[1].annotation or ast.Constant(None))
                )
            ):
                problems.append(f"{_where(name, function)}: ConfigEntry without a type")
    return problems


def flow_tries_before_it_stores(integration: Integration) -> list[str]:
    """The flow looks whether what was entered works."""
    module = integration.modules["config_flow.py"]
    tries = any(
        isinstance(node, ast.Try)
        and any(isinstance(part, ast.Await) for item in node.body for part in ast.walk(item))
        for node in ast.walk(module)
    )
    return [] if tries else ["nothing is tried"]


def setup_fails_early(integration: Integration) -> list[str]:
    """The set-up of an entry tells when it can't work."""
    refreshes = any(integration.calls("async_config_entry_first_refresh"))
    raises = any(
        isinstance(node.exc, ast.Call) and called(node.exc) in _NOT_READY
        for name, node in integration.nodes(ast.Raise)
        if name == "__init__.py"
    )
    return [] if refreshes or raises else ["nothing is tried"]


def entries_are_unique(integration: Integration) -> list[str]:
    """Nothing is set up twice."""
    if integration.manifest.get("single_config_entry") or any(
        module == "config_flow.py"
        for module, _ in integration.calls(
            "_abort_if_unique_id_configured", "_async_abort_entries_match"
        )
    ):
        return []
    return ["nothing keeps an account from being set up twice"]


def failed_actions_are_told(integration: Integration) -> list[str]:
    """Nothing that a person asks for fails in silence."""
    asked = [
        (module, function)
        for module, node in _entities(integration)
        for function in _functions(node)
        if _ACTION_METHODS.fullmatch(function.name)
    ]
    asked += [
        (name, function)
        for name, module in integration.modules.items()
        if name == "services.py"
        for function in _functions(module)
    ]
    return [
        _where(module, node)
        for module, function in asked
        for node in ast.walk(function)
        if isinstance(node, ast.ExceptHandler)
        and not any(isinstance(part, ast.Raise) for part in ast.walk(node))
    ]


def entries_can_be_unloaded(integration: Integration) -> list[str]:
    """What was set up can be taken down."""
    unload = _function(integration, "__init__.py", "async_unload_entry")
    if unload is None:
        return ["no async_unload_entry"]
    forwards = any(integration.calls("async_forward_entry_setups"))
    if forwards and not any(integration.calls("async_unload_platforms")):
        return ["the platforms are not unloaded"]
    return []


def entities_become_unavailable(integration: Integration) -> list[str]:
    """Entities follow a coordinator, or say when they are available."""
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
    """Somebody looks after it."""
    return [] if integration.manifest["codeowners"] else ["no code owner"]


def parallel_updates(integration: Integration) -> list[str]:
    """Each platform says how many updates run at once."""
    return [
        platform
        for platform in integration.platforms
        if not any(
            _assigned(node, "PARALLEL_UPDATES")
            for node in integration.modules[f"{platform}.py"].body
        )
    ]


def can_sign_in_again(integration: Integration) -> list[str]:
    """A password that no longer counts leads to a dialog."""
    problems = []
    if _method(integration, "config_flow.py", "async_step_reauth") is None:
        problems.append("no async_step_reauth")
    if not any(
        name == "ConfigEntryAuthFailed"
        for _, call in integration.calls("ConfigEntryAuthFailed", "async_start_reauth")
        for name in [called(call)]
    ) and not any(integration.calls("async_start_reauth")):
        problems.append("nothing starts it")
    return problems


def can_be_reconfigured(integration: Integration) -> list[str]:
    """What was entered at the set-up can be changed."""
    problems = []
    if _method(integration, "config_flow.py", "async_step_reconfigure") is None:
        problems.append("no async_step_reconfigure")
    if not any(integration.calls("_get_reconfigure_entry")):
        problems.append("it does not look at the entry")
    return problems


def devices_are_described(integration: Integration) -> list[str]:
    """Devices have an identifier, a manufacturer and a model."""
    given = {
        item.arg
        for _, call in integration.calls("DeviceInfo", "async_get_or_create")
        for item in call.keywords
    }
    problems = [
        f"no {name}" for name in ("manufacturer", "model") if name not in given
    ]
    return problems + (
        [] if given & {"identifiers", "connections"} else ["no identifiers"]
    )


def diagnostics_can_be_downloaded(integration: Integration) -> list[str]:
    """There are diagnostics, with what is private taken out."""
    if not any(
        _function(integration, "diagnostics.py", f"async_get_{kind}_diagnostics")
        for kind in ("config_entry", "device")
    ):
        return ["no diagnostics"]
    return []


def categories_are_given(integration: Integration) -> list[str]:
    """Some entities are for diagnosis or configuration."""
    used = any(
        ast.unparse(node.value) == "EntityCategory"
        for _, node in integration.nodes(ast.Attribute)
    )
    return [] if used else ["no EntityCategory"]


def device_classes_are_given(integration: Integration) -> list[str]:
    """Some entities have a device class."""
    used = any(
        item.arg == "device_class" for _, item in integration.nodes(ast.keyword)
    ) or any(_assignments(integration, "_attr_device_class"))
    return [] if used else ["no device class"]


def rare_entities_are_disabled(integration: Integration) -> list[str]:
    """Some entities are there for those who enable them."""
    given = [
        item.value
        for _, item in integration.nodes(ast.keyword)
        if item.arg == "entity_registry_enabled_default"
    ]
    given += [
        value
        for _, value in _assignments(
            integration, "_attr_entity_registry_enabled_default"
        )
    ]
    return [] if given else ["all entities are enabled"]


def names_are_translated(integration: Integration) -> list[str]:
    """No entity has a name in the source."""
    problems = [
        f"{_where(module, call)}: {ast.unparse(name)}"
        for module, call in _descriptions(integration)
        for name in [keyword(call, "name")]
        if texts(name)
    ]
    return problems + [
        f"{module}: {ast.unparse(value)}"
        for module, value in _assignments(integration, "_attr_name")
        if texts(value)
    ]


def icons_are_not_in_the_source(integration: Integration) -> list[str]:
    """No entity has an icon in the source."""
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
    """Return the icons that Home Assistant itself uses, which therefore exist."""
    return frozenset(
        icon
        for file in CORE.glob("*/icons.json")
        for icon in re.findall(r'"(mdi:[^"]*)"', file.read_text(encoding="utf-8"))
    )


def icons_exist(integration: Integration) -> list[str]:
    """All icons are known, and that of a state is another than the usual one."""
    problems = [
        f"icons.{'.'.join(path)}: {icon}"
        for path, icon in leaves(integration.icons)
        if icon not in known_icons()
    ]
    return problems + [
        f"icons.entity.{platform}.{key}: {state} has the icon of the others"
        for platform, icons in integration.icons.get("entity", {}).items()
        for key, icon in icons.items()
        for state, other in icon.get("state", {}).items()
        if other == icon.get("default")
    ]


def _action_names(integration: Integration) -> Iterator[str]:
    """Yield the names of the actions that are registered, as far as one can see."""
    constants = {
        target.id: text
        for _, node in integration.nodes(ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
        for text in texts(node.value)
    }
    for _, call in integration.calls():
        if _registers_action(call):
            for item in call.args:
                match item:
                    case ast.Name(id=name) if name.startswith("SERVICE_"):
                        yield from (
                            [constants[name]] if name in constants else []
                        )


def actions_are_described(integration: Integration) -> list[str]:
    """Actions, their fields and sections have texts, icons and sources, and the other way round."""
    problems = []
    words = {
        node.value
        for _, node in integration.nodes(ast.Constant)
        if isinstance(node.value, str)
    }
    named = integration.translations.get("services", {})
    icons = integration.icons.get("services", {})
    for name in sorted({*integration.services, *named, *icons}):
        if name not in integration.services:
            problems.append(f"{name} is not in services.yaml")
            continue
        if name not in words:
            problems.append(f"{name} is registered by nobody")
        if "service" not in icons.get(name, {}):
            problems.append(f"{name} has no icon")
        problems += [
            f"{name} {problem}"
            for problem in _texts_fit(integration.services[name], named.get(name, {}))
        ]
    return problems + [
        f"{name} is registered, but not in services.yaml"
        for name in _action_names(integration)
        if name not in integration.services
    ]


def _texts_fit(action: dict[str, Any] | None, named: dict[str, Any]) -> Iterator[str]:
    """Yield where the texts of an action are not those of its fields."""
    if not {"name", "description"} <= set(named):
        yield "has no name or description"
    fields: dict[str, Any] = {}
    sections = set()
    for key, field in ((action or {}).get("fields") or {}).items():
        if field and "fields" in field:
            sections.add(key)
            fields |= field["fields"]
        else:
            fields[key] = field
    for part, known in (("fields", set(fields)), ("sections", sections)):
        given = named.get(part, {})
        for key in sorted(known ^ set(given)):
            yield f"{part}.{key} is only in one of services.yaml and en.json"
    for key, field in named.get("fields", {}).items():
        if not {"name", "description"} <= set(field):
            yield f"{key} has no name or description"


def choices_are_described(integration: Integration) -> list[str]:
    """What can be chosen in an action's field has texts, and nothing else has."""
    problems = []
    for name, action in integration.services.items():
        for field_name, field in ((action or {}).get("fields") or {}).items():
            choice = ((field or {}).get("selector") or {}).get("select") or {}
            if "translation_key" not in choice:
                continue
            options = set(choice.get("options", ()))
            named = set(
                integration.translations.get("selector", {})
                .get(choice["translation_key"], {})
                .get("options", {})
            )
            if options != named:
                problems.append(f"{name}.{field_name}: {sorted(options ^ named)}")
    return problems


def action_placeholders_are_given(integration: Integration) -> list[str]:
    """The texts of actions have only placeholders that get a value."""
    given = {
        name
        for _, item in integration.nodes(ast.keyword)
        if item.arg == "description_placeholders" and isinstance(item.value, ast.Dict)
        for key in item.value.keys
        for name in texts(key)
    }
    return [
        f"services.{'.'.join(path)}: {{{name}}}"
        for path, text in leaves(integration.translations.get("services", {}))
        for name in placeholders(text)
        if name not in given
    ]


def issues_can_be_fixed(integration: Integration) -> list[str]:
    """There are issues, and the fixable ones have a flow."""
    issues = [call for _, call in integration.calls("async_create_issue")]
    if not issues:
        return ["no issue"]
    fixable = any(
        isinstance(value := keyword(call, "is_fixable"), ast.Constant) and value.value
        for call in issues
    )
    if fixable and not _function(integration, "repairs.py", "async_create_fix_flow"):
        return ["no async_create_fix_flow"]
    return []


def nothing_blocks(integration: Integration) -> list[str]:
    """No library that waits for the network is used."""
    return [
        f"{_where(module, node)}: {name}"
        for module, node in integration.nodes(ast.Import, ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [item.name for item in node.names]
        )
        if name in _BLOCKING
    ]


def session_is_handed_in(integration: Integration) -> list[str]:
    """The connections are those of Home Assistant's own session."""
    problems = [
        f"{_where(module, call)}: a session of its own"
        for module, call in integration.calls("ClientSession")
    ]
    if not any(integration.calls(*_SESSIONS)):
        problems.append("no session is handed in")
    return problems


def functions_are_typed(integration: Integration) -> list[str]:
    """Each function says what it takes and returns."""
    problems = []
    for module, function in integration.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        arguments = function.args
        taken = [
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *([arguments.vararg] if arguments.vararg else []),
            *([arguments.kwarg] if arguments.kwarg else []),
        ]
        if (function.returns is None and function.name != "__init__") or any(
            item.annotation is None and item.arg not in ("self", "cls") for item in taken
        ):
            problems.append(f"{_where(module, function)}: {function.name}")
    return problems


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
    "action-exceptions": (failed_actions_are_told,),
    "config-entry-unloading": (entries_can_be_unloaded,),
    "entity-unavailable": (entities_become_unavailable,),
    "integration-owner": (has_owner,),
    "parallel-updates": (parallel_updates,),
    "reauthentication-flow": (can_sign_in_again,),
    "devices": (devices_are_described,),
    "diagnostics": (diagnostics_can_be_downloaded,),
    "entity-category": (categories_are_given,),
    "entity-device-class": (device_classes_are_given,),
    "entity-disabled-by-default": (rare_entities_are_disabled,),
    "entity-translations": (names_are_translated,),
    "exception-translations": (exceptions_have_a_text, exceptions_are_translated),
    "icon-translations": (icons_are_not_in_the_source, icons_exist),
    "reconfiguration-flow": (can_be_reconfigured,),
    "repair-issues": (issues_can_be_fixed,),
    "async-dependency": (nothing_blocks,),
    "inject-websession": (session_is_handed_in,),
    "strict-typing": (functions_are_typed,),
    "docs-actions": (
        actions_are_described,
        choices_are_described,
        action_placeholders_are_given,
    ),
}
