"""The files of an integration, and rules for them that apply to any integration.

hassfest can only run in Home Assistant's source repository. These are its rules that matter
here, checked with the installed wheel and the sources alone. Each returns the problems found.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
import json
from pathlib import Path
import re
import shutil
import string
from typing import Any

from homeassistant import const as ha_const
from homeassistant.const import Platform
from homeassistant.helpers.selector import TargetSelector, selector, validate_selector
from homeassistant.util.yaml import load_yaml_dict
import probatio

_KEY = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_ICON = re.compile(r"mdi:[a-z0-9]+(?:-[a-z0-9]+)*")
_HTML = re.compile(r"</?[a-z][^>]*>", re.IGNORECASE)
_URL = re.compile(r"\bhttps?://|\bwww\.", re.IGNORECASE)
_QUOTED_PLACEHOLDER = re.compile(r"'\{\w*\}'")
# Abort reasons of flows that Home Assistant's own methods use.
_OWN_ABORTS = {
    "already_configured",
    "reauth_successful",
    "reconfigure_successful",
    "unique_id_mismatch",
}


@dataclass(frozen=True)
class Integration:
    """An integration's folder."""

    path: Path

    def __str__(self) -> str:
        """Return its domain, for the test's name."""
        return self.path.name

    def document(self, name: str) -> dict[str, Any]:
        """Return a JSON file; an empty one if there is none."""
        file = self.path / name
        if not file.exists():
            return {}
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        return self.document("manifest.json")

    @cached_property
    def translations(self) -> dict[str, Any]:
        """The English texts."""
        return self.document("translations/en.json")

    @cached_property
    def icons(self) -> dict[str, Any]:
        """The icons."""
        return self.document("icons.json")

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """The parsed sources, by path."""
        return {
            file.relative_to(self.path).as_posix(): ast.parse(
                file.read_text(encoding="utf-8")
            )
            for file in sorted(self.path.rglob("*.py"))
        }

    @cached_property
    def services(self) -> dict[str, Any]:
        """The actions as services.yaml describes them."""
        return self.described("services")

    def described(self, kind: str) -> dict[str, Any]:
        """Return the services, triggers or conditions as their YAML file describes them.

        Names with a dot are left out, because they only hold what others refer to.
        """
        file = self.path / f"{kind}.yaml"
        described = load_yaml_dict(str(file)) if file.exists() else {}
        return {
            name: item for name, item in described.items() if not name.startswith(".")
        }

    @cached_property
    def quality_scale(self) -> dict[str, str | dict[str, str]]:
        """The status of each rule of the quality scale."""
        rules: dict[str, str | dict[str, str]] = load_yaml_dict(
            str(self.path / "quality_scale.yaml")
        )["rules"]
        return rules

    @property
    def repository(self) -> Path:
        """The root folder of the repository."""
        return self.path.parents[1]

    @property
    def platforms(self) -> list[str]:
        """The platforms for which there is a module."""
        return [item.value for item in Platform if f"{item.value}.py" in self.modules]

    @cached_property
    def _nodes(self) -> dict[type[ast.AST], list[tuple[str, Any]]]:
        """The nodes of all modules by type; walking the trees for each rule would take long."""
        found = defaultdict(list)
        for name, module in self.modules.items():
            for node in ast.walk(module):
                found[type(node)].append((name, node))
        return found

    def nodes[NodeT: ast.AST](self, kind: type[NodeT]) -> Iterator[tuple[str, NodeT]]:
        """Yield each node of a type, with its module."""
        yield from self._nodes[kind]

    def calls(self, *names: str) -> Iterator[tuple[str, ast.Call]]:
        """Yield each call, or only calls of some names, with its module."""
        for module, call in self.nodes(ast.Call):
            if not names or called(call) in names:
                yield module, call


def altered_copy(
    integration: Integration, folder: Path, file: str, old: str, new: str
) -> Integration:
    """Return a copy in another folder, with a text replaced in one of its files."""
    copy = Integration(folder / "custom_components" / integration.path.name)
    shutil.copytree(
        integration.path, copy.path, ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in (
        "README.md",
        "docs/automations.md",
        "pyproject.toml",
        "scripts/test",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(integration.repository / name, folder / name)
    changed = copy.path / file
    if not changed.exists():
        changed = folder / file
    text = changed.read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old}"
    changed.write_text(text.replace(old, new), encoding="utf-8")
    return copy


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return a keyword argument of a call."""
    return next((item.value for item in call.keywords if item.arg == name), None)


def called(call: ast.Call) -> str:
    """Return the last part of the called name: `ir.async_create_issue` -> async_create_issue."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def texts(node: ast.expr | None) -> list[str]:
    """Return the texts that an expression can have: constants, and both sides of a conditional.

    An f-string gives a pattern with `*` for its fields. A name is looked up among Home
    Assistant's constants.
    """
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join((texts(part) or ["*"])[0] for part in parts)]
        case ast.IfExp(body=body, orelse=orelse):
            return texts(body) + texts(orelse)
        case ast.Name(id=name) if isinstance(getattr(ha_const, name, None), str):
            return [str(getattr(ha_const, name))]
    return []


def matches(key: str, used: set[str]) -> bool:
    """Return whether a key matches one of the used keys, which may contain `*`."""
    return any(
        re.fullmatch(re.escape(item).replace(r"\*", r"\w+"), key) for item in used
    )


def placeholders(text: str) -> set[str]:
    """Return the names of the placeholders of a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def leaves(
    document: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each text with its path."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def manifest_order(integration: Integration) -> list[str]:
    """The manifest has domain and name first, and then all other keys in alphabetical order."""
    keys = list(integration.manifest)
    wanted = [
        "domain",
        "name",
        *sorted(key for key in keys if key not in ("domain", "name")),
    ]
    return [] if keys == wanted else [f"manifest.json: {wanted}"]


def plain_texts(document: dict[str, Any]) -> list[str]:
    """Texts have no markup and no addresses, and their placeholders and keys are valid."""
    problems = []
    for path, text in leaves(document):
        where = ".".join(path)
        problems += [f"{where}: key" for key in path if not _KEY.fullmatch(key)]
        if _HTML.search(text):
            problems.append(f"{where}: markup")
        if _URL.search(text):
            problems.append(f"{where}: an address, use a placeholder")
        if text != text.strip() or not text:
            problems.append(f"{where}: space around it, or empty")
        if _QUOTED_PLACEHOLDER.search(text):
            problems.append(f"{where}: a placeholder in single quotes")
        problems += [
            f"{where}: {{{name}}}"
            for name in placeholders(text)
            if not name.isidentifier() or "state" in path
        ]
    return problems


def texts_are_plain(integration: Integration) -> list[str]:
    """The English texts are plain."""
    return plain_texts(integration.translations)


def fields_are_described(integration: Integration) -> list[str]:
    """Each field of a flow's step has a description, and nothing else has."""
    problems = []
    for flow in ("config", "options"):
        for name, step in (
            integration.translations.get(flow, {}).get("step", {}).items()
        ):
            data, described = (
                set(step.get(part, ())) for part in ("data", "data_description")
            )
            if data != described:
                problems.append(f"{flow}.{name}: {sorted(data ^ described)}")
    return problems


def entity_keys(integration: Integration) -> list[str]:
    """Each translation key that a platform uses has a text, and each text is used."""
    problems = []
    named = integration.translations.get("entity", {})
    for platform in sorted({*integration.platforms, *named}):
        used: set[str] = set()
        module = integration.modules.get(f"{platform}.py", ast.Module([], []))
        for node in ast.walk(module):
            match node:
                case ast.Call() if called(node).endswith("Description"):
                    used.update(texts(keyword(node, "translation_key")))
                case (
                    ast.Assign(
                        targets=[ast.Name(id="_attr_translation_key")], value=value
                    )
                    | ast.Assign(
                        targets=[ast.Attribute(attr="_attr_translation_key")],
                        value=value,
                    )
                ):
                    used.update(texts(value))
        texts_of = named.get(platform, {})
        problems += [
            f"{platform}: {key} has a text, but is not used"
            for key in texts_of
            if not matches(key, used)
        ]
        problems += [
            f"{platform}: {key} has no text"
            for key in used
            if not any(matches(name, {key}) for name in texts_of)
        ]
    return problems


def _translated(
    integration: Integration,
) -> Iterator[tuple[str, ast.Call, str, str]]:
    """Yield the uses of texts of exceptions and issues: module, call, category and key."""
    for module, call in integration.calls():
        if called(call) == "async_create_issue":
            category = "issues"
        elif keyword(call, "translation_domain") is not None:
            category = "exceptions"
        else:
            continue
        # The text is in the files of another integration.
        domain = keyword(call, "translation_domain")
        if isinstance(domain, ast.Name) and domain.id.endswith("_DOMAIN"):
            continue
        for key in texts(keyword(call, "translation_key")):
            yield module, call, category, key


def exceptions_are_translated(integration: Integration) -> list[str]:
    """The texts of exceptions and issues exist, and all their placeholders are given."""
    problems = [
        f"{module}: {called(call)} has no translation_domain"
        for module, call in integration.calls()
        if keyword(call, "translation_key") is not None
        and called(call).endswith(("Error", "Failed", "NotReady"))
        and keyword(call, "translation_domain") is None
    ]
    for module, call, category, key in _translated(integration):
        text = integration.translations.get(category, {}).get(key)
        if text is None:
            if "*" not in key:
                problems.append(f"{module}: {category}.{key} has no text")
            continue
        given = keyword(call, "translation_placeholders")
        if given is not None and not isinstance(given, ast.Dict):
            continue
        keys = given.keys if given is not None else []
        names = {name for item in keys for name in texts(item)}
        wanted = {name for _, part in leaves(text) for name in placeholders(part)}
        # The repair flow of an issue may give its steps more placeholders.
        needed = wanted - {
            name
            for _, part in leaves(text.get("fix_flow", {}))
            for name in placeholders(part)
        }
        if all(map(texts, keys)) and not needed <= names <= wanted:
            problems.append(f"{module}: {category}.{key}: {names} / {wanted}")
    return problems


def exception_texts_are_used(integration: Integration) -> list[str]:
    """Each text of an exception or issue is used."""
    used: dict[str, set[str]] = {"exceptions": set(), "issues": set()}
    for _, _, category, key in _translated(integration):
        used[category].add(key)
    # If an issue's key comes from a table, the table is in the same module.
    tables = {
        module
        for module, call in integration.calls()
        if called(call) == "async_create_issue"
        and not list(texts(keyword(call, "translation_key")))
    }
    used["issues"].update(
        node.value
        for module, node in integration.nodes(ast.Constant)
        if module in tables and isinstance(node.value, str)
    )
    return [
        f"{category}.{key} is not used"
        for category, known in used.items()
        for key in integration.translations.get(category, {})
        if not matches(key, known)
    ]


def exceptions_have_a_text(integration: Integration) -> list[str]:
    """Exceptions that the user sees have a translation, and no hard-coded text."""
    shown = {
        "HomeAssistantError",
        "ServiceValidationError",
        "ConfigEntryNotReady",
        "ConfigEntryAuthFailed",
        "ConfigEntryError",
        "UpdateFailed",
    }
    return [
        f"{name}:{node.lineno}"
        for name, node in integration.nodes(ast.Raise)
        if isinstance(node.exc, ast.Call)
        and called(node.exc) in shown
        and (keyword(node.exc, "translation_key") is None or node.exc.args)
    ]


def flow_keys(integration: Integration) -> list[str]:
    """Steps, errors and aborts of the flows have a text, and each text is used."""
    module = integration.modules.get("config_flow.py", ast.Module([], []))
    # Steps of the options in a module of their own.
    steps = integration.modules.get("web_hook_flow.py", ast.Module([], []))
    # These find some of the errors.
    finders = (
        integration.modules.get(name, ast.Module([], []))
        for name in ("options_form.py", "web_hook_urls.py")
    )
    words = {
        node.value
        for tree in (module, steps, *finders)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    options: list[ast.stmt] = [
        node
        for node in (*module.body, *steps.body)
        if isinstance(node, ast.ClassDef)
        and any("OptionsFlow" in ast.unparse(base) for base in node.bases)
    ]
    rest = [node for node in module.body if node not in options]
    given = {
        name
        for node in (*ast.walk(module), *ast.walk(steps))
        if isinstance(node, ast.keyword)
        and node.arg == "description_placeholders"
        and isinstance(node.value, ast.Dict)
        for key in node.value.keys
        for name in texts(key)
    }
    problems = []
    for flow, nodes in (("config", rest), ("options", options)):
        texts_of = integration.translations.get(flow, {})
        for part, keys in _flow_uses(nodes).items():
            known = set(texts_of.get(part, ()))
            own = _OWN_ABORTS if part == "abort" else set()
            problems += [
                f"{flow}.{part}.{key} has no text" for key in sorted(keys - known)
            ]
            problems += [
                f"{flow}.{part}.{key} is not used"
                for key in sorted(known - words - own)
            ]
        problems += [
            f"{flow}.step.{name}: {{{missing}}} is not given"
            for name, step in texts_of.get("step", {}).items()
            for _, text in leaves(step)
            for missing in placeholders(text) - given - {"name"}
        ]
    return problems


def _flow_uses(nodes: list[ast.stmt]) -> dict[str, set[str]]:
    """Return the steps, errors, aborts and texts of progress that a flow has."""
    parts = ("step", "error", "abort", "progress")
    used: dict[str, set[str]] = {part: set() for part in parts}
    for node in (part for item in nodes for part in ast.walk(item)):
        match node:
            case ast.Dict(keys=keys, values=values):
                used["error"].update(
                    text
                    for key, value in zip(keys, values, strict=True)
                    if texts(key) == ["base"]
                    for text in texts(value)
                )
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id="errors"))], value=value
            ):
                used["error"].update(texts(value))
            case ast.Call() if called(node) == "async_show_progress":
                # It shows nothing but the text of what goes on.
                used["progress"].update(texts(keyword(node, "progress_action")))
            case ast.Call():
                used["step"].update(texts(keyword(node, "step_id")))
                if called(node) == "async_abort":
                    used["abort"].update(texts(keyword(node, "reason")))
    return used


def icons_fit(integration: Integration) -> list[str]:
    """Icons are from the mdi set, and belong to entities and states that exist."""
    problems = [
        f"icons.{'.'.join(path)}: {icon}"
        for path, icon in leaves(integration.icons)
        if not _ICON.fullmatch(icon)
    ]
    named = integration.translations.get("entity", {})
    for platform, icons in integration.icons.get("entity", {}).items():
        for key, icon in icons.items():
            where = f"icons.entity.{platform}.{key}"
            if key not in named.get(platform, {}):
                problems.append(f"{where}: no such entity")
                continue
            states = icon.get("state", {})
            problems += [
                f"{where}: {state} has the usual icon"
                for state, other in states.items()
                if other == icon.get("default")
            ]
            known = named[platform][key].get("state")
            if known is not None:
                problems += [
                    f"{where}: no state {state}"
                    for state in states
                    if state not in known
                ]
    return problems


def registers_action(node: ast.AST) -> bool:
    """Return whether this registers an action of Home Assistant."""
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


def _words(integration: Integration) -> set[str]:
    """Return all strings in the sources, including the values of Home Assistant's constants."""
    words = {
        node.value
        for _, node in integration.nodes(ast.Constant)
        if isinstance(node.value, str)
    }
    return words.union(*(texts(node) for _, node in integration.nodes(ast.Name)))


def actions_are_described(integration: Integration) -> list[str]:
    """Actions and their fields are in the sources, in services.yaml, en.json and icons.json."""
    described = integration.services
    named = integration.translations.get("services", {})
    icons = integration.icons.get("services", {})
    words = _words(integration) if described else set()
    problems = [
        f"{name} is not in services.yaml"
        for name in {*named, *icons, *_registered(integration)} - set(described)
    ]
    for name, action in described.items():
        if name not in words:
            problems.append(f"{name} is registered by nobody")
        if "service" not in icons.get(name, {}):
            problems.append(f"{name} has no icon")
        problems += [
            f"{name} {problem}"
            for problem in _action_texts(action, named.get(name, {}))
        ]
    return problems


def _registered(integration: Integration) -> set[str]:
    """Return the names of the actions that are registered by a constant's name."""
    constants = {
        target.id: text
        for _, node in integration.nodes(ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("SERVICE_")
        for text in texts(node.value)
    }
    return {
        constants[item.id]
        for _, call in integration.calls()
        if registers_action(call)
        for item in call.args
        if isinstance(item, ast.Name) and item.id in constants
    }


def _action_texts(
    action: dict[str, Any] | None, named: dict[str, Any]
) -> Iterator[str]:
    """Yield the differences between the texts of an action and its fields."""
    fields: set[str] = set()
    sections: set[str] = set()
    for key, field in ((action or {}).get("fields") or {}).items():
        if field and "fields" in field:
            sections.add(key)
            fields.update(field["fields"])
        else:
            fields.add(key)
    for part, known in (("fields", fields), ("sections", sections)):
        for key in sorted(known ^ set(named.get(part, {}))):
            yield f"{part}.{key} is in one of services.yaml and en.json only"
    for key, text in (("", named), *named.get("fields", {}).items()):
        if not {"name", "description"} <= set(text):
            yield f"{key} has no name or description"


# What hassfest accepts in triggers.yaml and conditions.yaml.
_AUTOMATION_PART = probatio.Schema(
    {
        probatio.Optional("target"): TargetSelector.CONFIG_SCHEMA,
        probatio.Optional("fields"): {
            str: {
                probatio.Optional("context"): {str: str},
                probatio.Optional("default"): object,
                probatio.Optional("example"): object,
                probatio.Optional("required"): bool,
                probatio.Optional("selector"): validate_selector,
            }
        },
    }
)


def automation_parts_are_described(integration: Integration) -> list[str]:
    """Triggers and conditions are in the sources, their YAML file, en.json and icons.json."""
    problems = []
    for kind, part in (("triggers", "trigger"), ("conditions", "condition")):
        described = integration.described(kind)
        named = integration.translations.get(kind, {})
        icons = integration.icons.get(kind, {})
        registered = _registered_parts(integration, part)
        if registered is None:
            registered = set(described)
        problems += [
            f"{kind}.{name} is not described everywhere"
            for name in sorted(registered | set(described) | set(named) | set(icons))
            if not all(name in keys for keys in (registered, described, named, icons))
        ]
        for name, description in described.items():
            where = f"{kind}.{name}"
            if part not in icons.get(name, {}):
                problems.append(f"{where} has no icon")
            problems += [
                f"{where}: {problem}"
                for problem in _part_problems(description or {}, named.get(name, {}))
            ]
    return problems


def _registered_parts(integration: Integration, part: str) -> set[str] | None:
    """Return the triggers or conditions in the sources, None if they are not a literal.

    The one that is called `_` is left out: it is the form of an old automation, and the
    editor does not offer it.
    """
    for node in integration.modules.get(f"{part}.py", ast.Module([], [])).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == f"{part.upper()}S"
            and isinstance(node.value, ast.Dict)
            and all(map(texts, node.value.keys))
        ):
            return {text for key in node.value.keys for text in texts(key)} - {"_"}
    return None


def _part_problems(description: dict[str, Any], named: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the description or the texts of a trigger or condition."""
    try:
        _AUTOMATION_PART(description)
    except probatio.Invalid as err:
        yield str(err)
        return
    if not {"name", "description"} <= set(named):
        yield "no name or description"
    fields = description.get("fields", {})
    for key in sorted(set(fields) ^ set(named.get("fields", {}))):
        yield f"fields.{key} is in one of the YAML file and en.json only"
    for key, text in named.get("fields", {}).items():
        if "name" not in text:
            yield f"fields.{key} has no name"
    for key, field in fields.items():
        allowed = selector(field["selector"]).allowed_context_keys
        for name, other in field.get("context", {}).items():
            if name not in allowed or other not in {*fields, "target"}:
                yield f"fields.{key}: context {name}"


def choices_are_described(integration: Integration) -> list[str]:
    """Each option of a field has a text, and each such text belongs to an option."""
    choices: dict[str, set[str]] = defaultdict(set)
    parts = (
        part
        for kind in ("services", "triggers", "conditions")
        for part in integration.described(kind).values()
    )
    for part in parts:
        for field in ((part or {}).get("fields") or {}).values():
            choice = ((field or {}).get("selector") or {}).get("select") or {}
            if "translation_key" in choice:
                choices[choice["translation_key"]].update(
                    str(option["value"] if isinstance(option, dict) else option)
                    for option in choice["options"]
                )
    named = integration.translations.get("selector", {})
    return [
        f"selector.{key}: {sorted(options ^ set(named.get(key, {}).get('options', {})))}"
        for key, options in choices.items()
        if options != set(named.get(key, {}).get("options", {}))
    ]


def action_placeholders_are_given(integration: Integration) -> list[str]:
    """All placeholders in the texts of actions get a value."""
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


# Rules that each core integration of the highest quality follows.
RULES = (
    manifest_order,
    texts_are_plain,
    fields_are_described,
    exceptions_are_translated,
    exceptions_have_a_text,
    actions_are_described,
    automation_parts_are_described,
    choices_are_described,
    action_placeholders_are_given,
)
# Rules for integrations that are written like this one: keys are literals where they are
# used, and no text is unused.
STRICT_RULES = (entity_keys, exception_texts_are_used, flow_keys, icons_fit)
