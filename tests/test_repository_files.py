"""Files for users, contributors and GitHub: documents, the changelog and workflows."""

import io
import json
from pathlib import Path
import re
import shutil
import subprocess
import tarfile
from typing import Any

from homeassistant.util.yaml import parse_yaml
import pytest

from scripts.demo_home import __main__ as demo

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = json.loads((ROOT / "custom_components/zaptec/manifest.json").read_text())
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob(".github/*.md"),
    )
)
WORKFLOWS = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob(".github/workflows/*")
)
YAML_FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob(".github/**/*.yml"),
        *ROOT.glob(".github/**/*.yaml"),
        *ROOT.glob("*.yaml"),
        *ROOT.glob(".*.yaml"),
    )
)
# Maximum length of the README: half of its length when it was for developers, too.
README_SIZE = 15_985
PARAGRAPH_SIZE = 600
# Words that the documents once used in a way that native speakers do not.
PRIVATE_WORDS = re.compile(
    r"\b(anew|nobody|somebody|whoever|tells?|told|wish|wishes|of ours|in vain|obeys?)\b",
    re.IGNORECASE,
)
# The files that users and HACS get. All others are export-ignore.
ARCHIVE = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "custom_components",
    "docs",
    "hacs.json",
}


def read(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text("utf-8")


def load(name: str) -> Any:
    """Return the content of a YAML file of the repository."""
    return parse_yaml(read(name))


def prose(name: str) -> list[str]:
    """Return the lines of a document, without its blocks of code."""
    text = re.sub(r"^```.*?^```$", "", read(name), flags=re.MULTILINE | re.DOTALL)
    return text.splitlines()


def anchors(name: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    titles = [line.lstrip("#") for line in prose(name) if re.match(r"#+ ", line)]
    return {
        re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")
        for title in titles
    }


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command and return its outcome."""
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


# Documents.


def test_readme_begins_with_what_it_is_and_two_commands() -> None:
    """The README begins with a description, and is at most half as long as it once was."""
    begin = read("README.md").partition("\n## ")[0]

    assert begin.startswith("# Zaptec for Home Assistant\n\nYour Zaptec chargers")
    assert re.findall(r"^scripts/\w+", begin, re.MULTILINE) == [
        "scripts/demo",
        "scripts/test",
    ]
    assert "![" in begin
    assert len(read("README.md").encode()) <= README_SIZE


def test_readme_has_a_table_of_contents() -> None:
    """The table of contents links to each section, in order."""
    [line] = [line for line in prose("README.md") if line.startswith("**Contents**")]
    linked = re.findall(r"\]\(#([\w-]+)\)", line)
    titles = [line[3:] for line in prose("README.md") if line.startswith("## ")]
    slugs = [re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in titles]

    assert linked == [slug for slug in slugs if slug != "how-the-data-is-updated"]


def test_readme_has_the_buttons_that_people_expect() -> None:
    """One button adds the repository to HACS, and one adds the integration."""
    text = read("README.md")
    owner, name = MANIFEST["documentation"].rsplit("/", 2)[1:]

    assert "https://my.home-assistant.io/badges/hacs_repository.svg" in text
    assert (
        "https://my.home-assistant.io/redirect/hacs_repository/"
        f"?owner={owner}&repository={name}&category=integration)"
    ) in text
    assert "https://my.home-assistant.io/badges/config_flow_start.svg" in text
    assert (
        "https://my.home-assistant.io/redirect/config_flow_start/"
        f"?domain={MANIFEST['domain']})"
    ) in text


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Each local file that a document links to exists, and has the linked section."""
    for link in re.findall(r"\]\(([^)\s]+)\)", "\n".join(prose(name))):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        linked = target.relative_to(ROOT).as_posix()
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(linked), f"{name}: {link}"


def test_links_from_home_assistant_and_github_lead_to_a_section() -> None:
    """Links in repair issues and on GitHub's issue page lead to existing sections of the README."""
    sources = [*ROOT.glob("custom_components/**/*.py"), *ROOT.glob(".github/**/*.yml")]
    links = {
        anchor
        for path in sources
        for anchor in re.findall(
            rf"{re.escape(MANIFEST['documentation'])}#([\w-]+)",
            path.read_text("utf-8"),
        )
    }

    assert {"repair-issues", "troubleshooting"} <= links <= anchors("README.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_plain(name: str) -> None:
    """Long paragraphs are split into lists, and no document uses a word of the list above."""
    for line in prose(name):
        if not line.startswith("|"):
            assert len(line) <= PARAGRAPH_SIZE, f"{name}: {line[:60]}"
        assert not PRIVATE_WORDS.search(re.sub(r"`[^`]*`", "", line)), f"{name}: {line}"


def test_the_guide_names_files_that_exist() -> None:
    """The files that the contributor guide names exist."""
    guide = read("CONTRIBUTING.md")
    named = re.findall(r"`([\w/]+(?:\.(?:py|json|yaml|md)|/))`", guide)

    assert len(set(named)) > 25
    for name in named:
        places = (ROOT / name, ROOT / "custom_components/zaptec" / name)
        assert any(place.exists() for place in places), name


def test_the_threat_model_names_code_and_tests_that_exist() -> None:
    """The code and the tests that the threat model names for each protection exist."""
    code = "\n".join(
        path.read_text("utf-8")
        for folder in ("custom_components", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    defined = set(re.findall(r"^ *(?:async )?(?:def|class) (\w+)", code, re.MULTILINE))
    named = re.findall(
        r"`([A-Z]?[a-z]+(?:_\w+|[A-Z]\w+))(?:\.\w+)?`", read("docs/security.md")
    )

    assert len(set(named)) > 12
    assert set(named) - {"UseSSL"} <= defined
    for name in re.findall(r"`(tests/[\w/.]+)`", read("docs/security.md")):
        assert (ROOT / name).exists(), name


def test_pictures_have_a_description_and_are_used() -> None:
    """Each picture is used in a document, with an alternative text."""
    used = set()
    for name in DOCUMENTS:
        for text, link in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", read(name)):
            assert len(text) > 5, f"{name}: {link}"
            used.add(link.rpartition("/")[2])

    assert {path.name for path in ROOT.glob("docs/images/*")} <= used


# The changelog and the release.


def test_changelog_begins_with_what_is_not_released() -> None:
    """The changelog begins with "Unreleased", followed by the manifest's version with a date."""
    headings = re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.MULTILINE)

    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(
        rf"\[{re.escape(MANIFEST['version'])}\] - \d{{4}}-\d\d-\d\d", headings[1]
    )
    for heading in headings:
        version = heading.partition("]")[0].lstrip("[")
        assert f"\n[{version}]: {MANIFEST['documentation']}/" in read("CHANGELOG.md")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a copy of the files from which a release is made."""
    for name in (
        "CHANGELOG.md",
        "custom_components/zaptec/manifest.json",
        "scripts/release_notes",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_notes_of_a_release_are_its_section(release: Path) -> None:
    """Release notes are the section of the version, without its heading and the links at the end."""
    version = MANIFEST["version"]
    section = read("CHANGELOG.md").partition(f"\n## [{version}] - ")[2].partition("\n")
    wanted = re.split(r"\n(?:## |\[[^\]]+\]: )", section[2])[0].strip()
    result = run(release / "scripts/release_notes", f"v{version}", cwd=release)

    assert result.returncode == 0
    assert result.stdout.strip() == wanted
    assert len(wanted.splitlines()) > 5


def test_a_tag_of_another_version_is_not_released(release: Path) -> None:
    """A tag that differs from the manifest's version fails, because users see the latter."""
    result = run(release / "scripts/release_notes", "v99.0.0", cwd=release)

    assert result.returncode == 1
    assert result.stdout == ""
    assert "The tag is v99.0.0, but manifest.json says" in result.stderr


def test_a_version_without_notes_is_not_released(release: Path) -> None:
    """A version without its own section fails, even if notes are under *Unreleased*."""
    changelog = release / "CHANGELOG.md"
    text = changelog.read_text("utf-8")
    changelog.write_text(text.replace(f"## [{MANIFEST['version']}]", "## [0.0.1]"))
    result = run(release / "scripts/release_notes", cwd=release)

    assert result.returncode == 1
    assert "has no notes" in result.stderr


def test_the_release_is_made_from_the_tag_alone() -> None:
    """The release has no files; with `zip_release`, the Marketplace would need a GitHub account."""
    workflow = load(".github/workflows/release.yaml")
    jobs = workflow["jobs"]

    # YAML 1.1 parses the key `on` as true.
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    assert set(jobs["release"]["needs"]) == {"version", "tests"}
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yaml"
    assert "workflow_call" in load(".github/workflows/tests.yaml")[True]
    for job in ("version", "release"):
        script = jobs[job]["steps"][-1]["run"]
        assert 'scripts/release_notes "$GITHUB_REF_NAME"' in script
    assert "gh release create" in script
    assert "--verify-tag" in script
    assert "zip_release" not in json.loads(read("hacs.json"))


def test_users_get_what_they_need() -> None:
    """The archive that GitHub makes of the repository contains no tests and no tools."""
    # The owner of the files may differ in a container.
    command = ("git", "-c", "safe.directory=*", "archive", "--worktree-attributes")
    archive = subprocess.run(
        (*command, "HEAD"), cwd=ROOT, capture_output=True, timeout=60, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        names = content.getnames()

    assert {name.partition("/")[0] for name in names} <= ARCHIVE
    assert {"LICENSE", "README.md", "hacs.json"} < set(names)
    code = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "custom_components").rglob("*.json")
    }
    assert code < set(names)
    assert not [name for name in names if name.startswith("docs/images/")]


# GitHub.


@pytest.mark.parametrize("name", YAML_FILES)
def test_yaml_can_be_read(name: str) -> None:
    """Each YAML file can be parsed, and is a mapping or a list."""
    assert isinstance(load(name), dict | list)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned(name: str) -> None:
    """Actions are pinned by commit, because a tag can be moved; a comment has the version."""
    used = re.findall(r"^ *(?:- )?uses: *(.*)$", read(name), re.MULTILINE)

    for action in used:
        if not action.startswith("./.github/workflows/"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # \S+", action), action


def test_an_action_has_one_version() -> None:
    """All workflows use the same commit of an action."""
    used = {
        tuple(action.split("@"))
        for name in WORKFLOWS
        for action in re.findall(r"uses: *(\S+@.*)$", read(name), re.MULTILINE)
    }

    assert len({action for action, _ in used}) == len(used)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_do_little(name: str) -> None:
    """Workflows may only read the repository, except the job that creates releases."""
    workflow = load(name)

    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for key, job in workflow["jobs"].items():
        is_release = (Path(name).stem, key) == ("release", "release")
        expected = "write" if is_release else "read"
        assert job["permissions"] == {"contents": expected}, key
        if "uses" in job:
            continue
        assert 0 < job["timeout-minutes"] <= 60, key
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}
            # A GitHub expression in a script could inject a command.
            assert "${{" not in step.get("run", ""), key


def test_the_workflows_cover_all_versions_and_stores() -> None:
    """CI covers the oldest, the newest and the beta Home Assistant, hassfest and HACS."""
    steps = {
        key: [step.get("run") or step["uses"] for step in job["steps"]][-1]
        for name in ("tests", "validate")
        for key, job in load(f".github/workflows/{name}.yaml")["jobs"].items()
    }
    scripts = {key: step for key, step in steps.items() if "@" not in step}

    assert scripts == {
        "tests": "scripts/test",
        "oldest": "scripts/test --oldest",
        "newest": "scripts/test --newest",
        "beta": "scripts/test --beta",
    }
    for command in scripts.values():
        for option in command.split()[1:]:
            assert f"\n{option})\n" in read("scripts/test")
    assert steps["hassfest"].startswith("home-assistant/actions/hassfest@")
    assert steps["hacs"].startswith("hacs/action@")


@pytest.mark.parametrize(
    ("form", "required", "optional"),
    [
        (
            "bug",
            {
                "integration_version",
                "home_assistant_version",
                "charger",
                "what_happened",
                "diagnostics",
            },
            {"log"},
        ),
        ("feature", {"need"}, {"today", "proposal"}),
    ],
)
def test_issue_forms_ask_for_what_is_needed(
    form: str, required: set[str], optional: set[str]
) -> None:
    """The issue forms ask for versions and diagnostics, without which support is impossible."""
    document = load(f".github/ISSUE_TEMPLATE/{form}.yml")
    fields = [item for item in document["body"] if item["type"] != "markdown"]
    needed = {
        item["id"] for item in fields if item.get("validations", {}).get("required")
    }

    assert document["name"]
    assert document["description"]
    assert len({item["id"] for item in fields}) == len(fields)
    assert needed == required
    assert {item["id"] for item in fields} - needed == optional
    for item in fields:
        assert item["type"] in {"checkboxes", "dropdown", "input", "textarea"}
        assert item["attributes"]["label"]


def test_issues_are_forms_and_vulnerabilities_are_private() -> None:
    """Issues need a form, and vulnerabilities are reported privately."""
    document = load(".github/ISSUE_TEMPLATE/config.yml")
    private = f"{MANIFEST['documentation']}/security/advisories/new"

    assert document["blank_issues_enabled"] is False
    assert private in [link["url"] for link in document["contact_links"]]
    assert private in read("SECURITY.md")
    assert private in read("CODE_OF_CONDUCT.md")
    for name in DOCUMENTS:
        addresses = re.findall(r"[\w.]+@[\w.]+\.\w+", read(name))
        assert set(addresses) <= {"demo@example.com"}, name


def test_dependabot_leaves_home_assistants_own_versions_alone() -> None:
    """Dependabot ignores Home Assistant's own requirements, which set the oldest tested version."""
    updates = {
        item["package-ecosystem"]: item
        for item in load(".github/dependabot.yml")["updates"]
    }
    ignored = {item["dependency-name"] for item in updates["pip"]["ignore"]}

    assert updates.keys() == {"github-actions", "pip"}
    assert "pytest-homeassistant-custom-component" in ignored
    pinned = {
        line.partition("==")[0] for line in read("requirements_test.txt").splitlines()
    }
    assert ignored < pinned


# Tools.


def test_hooks_are_the_checks_of_the_test_script() -> None:
    """The pre-commit hooks run the same checks and versions as scripts/test."""
    checks = re.findall(
        r'^"\$PYTHON" -m ((?:ruff|mypy)\b.*)$', read("scripts/test"), re.MULTILINE
    )
    [repository] = load(".pre-commit-config.yaml")["repos"]
    hooks = [(item["entry"], item.get("stages")) for item in repository["hooks"]]

    assert repository["repo"] == "local"
    assert all(item["language"] == "system" for item in repository["hooks"])
    assert hooks == [
        *((f".venv/bin/python -m {check}", None) for check in checks),
        ("scripts/test", ["pre-push"]),
    ]
    assert len(checks) == 3


def test_the_container_starts_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The dev container starts the demo, and forwards its two ports."""
    container = json.loads(read(".devcontainer/devcontainer.json"))
    with pytest.raises(SystemExit):
        demo.main(["--help"])
    [port] = re.findall(r"next four \((\d+)\)", capsys.readouterr().out)
    home_assistant = int(port)

    assert container["postAttachCommand"].split()[0] == "scripts/demo"
    assert container["forwardPorts"] == [home_assistant, home_assistant + 3]
    assert container["portsAttributes"].keys() == {
        str(port) for port in container["forwardPorts"]
    }


def test_editors_keep_to_the_style() -> None:
    """The settings of editors match those of ruff."""
    text = read(".editorconfig")

    assert text.startswith("root = true\n")
    assert "[*.py]\nindent_size = 4\nmax_line_length = 88\n" in text
