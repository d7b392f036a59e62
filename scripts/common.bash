# shellcheck shell=bash
# What the scripts share. Sourced after `set -euo pipefail`; it changes nothing by itself.

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Debian keeps the system's tools out of the PATH of ordinary users.
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: as it is, or through sudo. The caller says beforehand what for.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    die 'This needs root, and there is no sudo: run it as root, or install sudo.'
  fi
}

# The last lines of a file, indented, to show what a failed program had to say.
show_end() {
  [[ -s $1 ]] || return 0
  tail -n "${2:-20}" -- "$1" | sed 's/^/    /' >&2
}

# Polls: succeeds as soon as the command does, fails when SECONDS have passed.
#   wait_until SECONDS COMMAND…
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# The Node.js packages of the folder it is called in.
node_packages() {
  [[ node_modules/.package-lock.json -nt package-lock.json ]] || npm ci --ignore-scripts --silent
}

# A Python program for the tests, in a folder of its own.
#   python_tool NAME VERSION PACKAGE
python_tool() {
  local place=target/tools/$1
  [[ $(cat "$place/version" 2>/dev/null) == "$2" ]] && return
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check "$3==$2"
  printf '%s\n' "$2" >"$place/version"
}

# What speaks S3 in the tests.
s3_server() { python_tool moto 5.2.5 'moto[server,s3]'; }

# What tests the API by its document.
api_tester() { python_tool schemathesis 4.32.5 schemathesis; }

require_cargo() {
  has cargo && return
  if [[ -x $HOME/.cargo/bin/cargo ]]; then
    export PATH=$HOME/.cargo/bin:$PATH
  else
    die "cargo is not in PATH: install Rust as https://rustup.rs says."
  fi
}
