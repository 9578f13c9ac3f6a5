#!/usr/bin/env bash
# Installs twinhdr: to look at it (demo), to work on it (test), or as a device (root, no argument).
# Every mode can be run again: what is done already is recognised and left alone.
set -Eeuo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=${TWINHDR_ROOT:-}
DISTRIBUTION_PYTHON=/usr/bin/python3
PYTHONS="3.10 3.11 3.12"
COVERAGE_FLOOR=85

usage() {
  cat <<TEXT
Usage:
  ./install.sh demo [ARGUMENTS]   make .venv in this folder and show the whole line on a simulated scene;
                                  arguments go to "twinhdr demo"
  ./install.sh test [ARGUMENTS]   make .venv and check everything: ruff, mypy, pytest; arguments go to
                                  pytest; with TWINHDR_COVERAGE=1 line coverage is measured, too
  sudo ./install.sh               install or upgrade the device: /opt/twinhdr, user twinhdr, /etc/twinhdr, units;
                                  a new release stays only if it is healthy for 60 s
  sudo ./install.sh rollback      go back to the release before; configuration and recordings stay
  sudo ./install.sh uninstall     remove all but configuration and recordings; with --purge those, too
  ./install.sh bundle FILE        write all that an installation needs into one file, for devices without a
                                  network; [--arch aarch64] [--python 3.10] for another machine than this
  sudo ./install.sh --offline FILE  install from such a file
  ./install.sh --help             this text

Where there is no clone: sudo /opt/twinhdr/current/install.sh rollback (or uninstall).
demo and test need no root. As root, test also installs the system packages that it would else do without.

Environment:
  TWINHDR_PYTHON=FILE   the Python to use (3.10, 3.11 or 3.12) instead of the one that would be found
  TWINHDR_ROOT=FOLDER   install the device below FOLDER and leave the running system alone (needs no root)
TEXT
}

# shellcheck source=systemd/setup/release.sh
source "$HERE/systemd/setup/release.sh"
# shellcheck source=systemd/setup/device.sh
source "$HERE/systemd/setup/device.sh"
# shellcheck source=systemd/setup/lifecycle.sh
source "$HERE/systemd/setup/lifecycle.sh"
# shellcheck source=systemd/setup/bundle.sh
source "$HERE/systemd/setup/bundle.sh"

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warn() { printf '    warning: %s\n' "$*" >&2; }

die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

is_root() { [[ $EUID -eq 0 ]]; }

# --- what the machine must have ---------------------------------------------------------------------------

check_machine() { # FOLDER MEGABYTES
  [[ $(uname -s) == Linux ]] || die "this is $(uname -s); twinhdr needs Linux"
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) die "this is $(uname -m); the libraries that twinhdr needs come for x86_64 and aarch64" ;;
  esac
  local folder=$1
  while [[ ! -e $folder ]]; do folder=$(dirname "$folder"); done
  [[ -w $folder ]] || die "$folder is not writable for $(id -un); run this as its owner"
  local free_mb=$(($(df -Pk "$folder" | awk 'NR == 2 { print $4 }') / 1024))
  ((free_mb >= $2)) || die "$folder has $free_mb MB free; this needs $2 MB"
}

apt_install() { # PACKAGE...: quietly; fails where there is no apt-get, no network or no such package
  command -v apt-get >/dev/null || return 1
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  "${get[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
  "${get[@]}" update >/dev/null 2>&1 || true
  "${get[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1
}

# --- Python -----------------------------------------------------------------------------------------------

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

right_version() {
  local version
  version=$(version_of "$1")
  [[ -n $version && " $PYTHONS " == *" $version "* ]]
}

makes_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Sets PYTHON. The distribution's own comes first: python3-gi (GigE cameras) and JetPack's TensorRT and
# jetson-utils are built for it and for no other.
choose_python() {
  local candidate usable=()
  local candidates=("$DISTRIBUTION_PYTHON" python3.12 python3.11 python3.10 python3)
  if [[ -n ${TWINHDR_PYTHON:-} ]]; then
    right_version "$TWINHDR_PYTHON" || die "TWINHDR_PYTHON=$TWINHDR_PYTHON is not a Python of $PYTHONS"
    candidates=("$TWINHDR_PYTHON")
  fi
  for candidate in "${candidates[@]}"; do
    right_version "$candidate" || continue
    usable+=("$candidate")
    if ! makes_environments "$candidate" && [[ $candidate == "$DISTRIBUTION_PYTHON" ]] && is_root; then
      say "installing python3-venv: $candidate cannot make virtual environments yet"
      apt_install python3-venv || warn "apt-get could not install python3-venv"
    fi
    if makes_environments "$candidate"; then
      PYTHON=$candidate
      return
    fi
  done
  [[ ${#usable[@]} -gt 0 ]] || die "no Python of $PYTHONS here; on Debian and Ubuntu: sudo apt-get install python3 python3-venv"
  die "${usable[0]} cannot make virtual environments; run: sudo apt-get install python$(version_of "${usable[0]}")-venv"
}

# --- virtual environments ---------------------------------------------------------------------------------

# False for one that was cut while it was made, that was moved or copied, or whose Python is gone.
is_sound() { # VENV
  grep -qsF "$1/bin/python" "$1/bin/pip" && right_version "$1/bin/python" && "$1/bin/python" -c 'import pip' 2>/dev/null
}

make_environment() { # VENV
  if is_sound "$1"; then return; fi
  choose_python
  [[ ! -e $1 ]] || note "$1 is broken or was moved here; making it again"
  say "making the virtual environment $1 with $PYTHON ($(version_of "$PYTHON"))"
  rm -rf "$1"
  local options=()
  [[ $PYTHON != "$DISTRIBUTION_PYTHON" ]] || options=(--system-site-packages)
  "$PYTHON" -m venv "${options[@]}" "$1"
}

pip_install() { # VENV ARGUMENTS...
  local venv=$1 source=()
  shift
  ! is_bundle || source=(--no-index --find-links "$HERE/wheels")
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${source[@]}" "$@"
}

fingerprint() { # VENV EXTRAS: changes when pip would have something to do
  { "$1/bin/python" -VV && echo "$2" && cat "$HERE/pyproject.toml"; } | sha256sum | cut -d' ' -f1
}

# Editable. A stamp for each set of extras saves the second run from pip, and from the network.
install_clone() { # VENV EXTRAS ("" or "dev" or "dev,export")
  local venv=$1 extras=$2 stamp
  stamp=$venv/.installed${extras:+-${extras/,/-}}
  if [[ -f $stamp && $(<"$stamp") == "$(fingerprint "$venv" "$extras")" ]]; then
    note "$venv is up to date"
    return
  fi
  say "installing twinhdr${extras:+ with the parts for $extras} into $venv (minutes the first time)"
  rm -f "$venv"/.installed*
  pip_install "$venv" --editable "$HERE${extras:+[$extras]}"
  fingerprint "$venv" "" >"$venv/.installed"
  fingerprint "$venv" "$extras" >"$stamp"
}

# --- PyTorch: for the tests of the export package only ------------------------------------------------------

TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

has_torch() { # VENV VERSION
  "$1/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").split("+")[0] != sys.argv[1])' "$2" 2>/dev/null
}

answers() { # VENV URL
  "$1/bin/python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)' "$2" >/dev/null 2>&1
}

install_torch() { # VENV; false if it cannot be had
  local venv=$1 version
  version=$(sed -nE 's/.*"torch==([0-9.]+)".*/\1/p' "$HERE/pyproject.toml")
  if has_torch "$venv" "$version"; then return; fi
  say "installing PyTorch $version for the tests of the export package"
  # On x86_64 the package of PyPI brings gigabytes of CUDA that the tests have no use for.
  if [[ $(uname -m) == x86_64 ]] && answers "$venv" "$TORCH_CPU_INDEX/torch/"; then
    pip_install "$venv" --index-url "$TORCH_CPU_INDEX" "torch==$version" && return
  fi
  pip_install "$venv" "torch==$version"
}

# --- NVIDIA's ONNX parser and builder: a tool of the tests -------------------------------------------------
# They need no GPU (95 MB). Their licence is NVIDIA's own, so they are no dependency of twinhdr, and without
# their own dependencies, which are gigabytes of CUDA, they do all that the tests ask.

TENSORRT_RTX=1.7.1.116

install_tensorrt_rtx() { # VENV; false if it cannot be had
  local package packages=()
  "$1/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(m.version("tensorrt-rtx-cu13-bindings") != sys.argv[1])' \
    "$TENSORRT_RTX" 2>/dev/null && return
  [[ $(uname -m) == x86_64 ]] || return 1
  say "installing TensorRT-RTX $TENSORRT_RTX, NVIDIA's ONNX parser and builder, for the tests of TensorRT graphs"
  for package in "" -bindings -libs; do packages+=("tensorrt-rtx-cu13$package==$TENSORRT_RTX"); done
  pip_install "$1" --no-deps --retries 1 "${packages[@]}"
}

# --- demo -------------------------------------------------------------------------------------------------

run_demo() {
  check_machine "$HERE" 1500
  make_environment "$HERE/.venv"
  install_clone "$HERE/.venv" ""
  [[ " $* " == *" --out"* ]] || set -- --out "$HERE/demo" "$@"
  say "running twinhdr demo $*"
  exec "$HERE/.venv/bin/twinhdr" demo "$@"
}

# --- test -------------------------------------------------------------------------------------------------

# command, its Debian package or packages, what is not tested without it
TEST_TOOLS=(
  "ffprobe|ffmpeg|what other players see in the video files"
  "chromium|chromium|the live page in a browser"
  "chromedriver|chromium-driver|the live page in a browser"
  "openssl|openssl|the page with a certificate"
  "curl|curl|the commands of docs/api.md"
  "systemd-analyze|systemd|the sandbox of the systemd unit"
  "shellcheck|shellcheck|the style of install.sh"
  "make|make|the firmware of the trigger board"
  "gcc|gcc libc6-dev|the firmware of the trigger board"
  "avr-gcc|gcc-avr avr-libc|the firmware of the trigger board"
  "simavr|simavr libsimavr-dev libelf-dev|the firmware of the trigger board, on an emulated one"
  "avrdude|avrdude|flashing the trigger board"
  "arv-fake-gv-camera-0.8|aravis-tools gir1.2-aravis-0.8 python3-gi|GigE Vision cameras, simulated"
  "mkfs.vfat|dosfstools|a USB stick with a FAT file system"
  "ip|iproute2|two GigE Vision cameras in a network of their own"
)

offer_test_tools() {
  local row tool package packages loss missing=()
  for row in "${TEST_TOOLS[@]}"; do
    IFS='|' read -r tool package loss <<<"$row"
    command -v "$tool" >/dev/null || missing+=("$row")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  for row in "${missing[@]}"; do
    IFS='|' read -r tool package loss <<<"$row"
    if is_root; then
      say "installing the system package $package, to test $loss"
      read -ra packages <<<"$package"
      apt_install "${packages[@]}" && continue
      warn "apt-get could not install it"
    fi
    note "not tested, because $tool is missing (package $package): $loss"
  done
}

run_tests() {
  local venv=$HERE/.venv
  local python=$venv/bin/python
  check_machine "$HERE" 3000
  offer_test_tools
  make_environment "$venv"
  cd "$HERE"
  if install_torch "$venv"; then
    install_clone "$venv" dev,export
    local packages=()
  else
    warn "no PyTorch, so the tests and the types of the export package are left out"
    install_clone "$venv" dev
    local packages=(-p edge -p hw)
  fi
  install_tensorrt_rtx "$venv" ||
    note "not tested, because TensorRT-RTX cannot be had here: that NVIDIA's parser and builder take the networks"
  say "ruff: lint and format"
  "$python" -m ruff check .
  "$python" -m ruff format --check .
  say "mypy --strict"
  "$python" -m mypy "${packages[@]}"
  if [[ $# -gt 0 ]]; then
    say "pytest $*"
    exec "$python" -m pytest "$@"
  fi
  if [[ ${TWINHDR_COVERAGE:-} == 1 ]]; then
    say "pytest, with the line coverage of edge/ and hw/ (half an hour)"
    exec "$python" -m pytest --cov=edge --cov=hw --cov-report=term:skip-covered --cov-fail-under="$COVERAGE_FLOOR"
  fi
  local workers
  workers=$(nproc)
  say "pytest (minutes; TWINHDR_COVERAGE=1 measures line coverage, too, and takes twice as long)"
  # one thread a worker: numerical libraries would else start as many as there are cores, in every worker
  OMP_NUM_THREADS=1 "$python" -m pytest --no-cov -n $((workers < 4 ? workers : 4)) --dist worksteal -m "not alone"
  say "pytest, the tests that measure real time, one after the other"
  exec "$python" -m pytest --no-cov -m alone
}

# ----------------------------------------------------------------------------------------------------------

main() {
  # Nothing of the caller's Python may leak in: packages found in ~/.local would be missing on the device.
  unset PYTHONPATH PYTHONHOME
  export PYTHONNOUSERSITE=1
  trap 'warn "stopped: the step above failed; run the same command again once it can go through"' ERR
  local mode=${1:-}
  [[ $# -eq 0 ]] || shift
  case $mode in
    demo) run_demo "$@" ;;
    test) run_tests "$@" ;;
    -h | --help) usage ;;
    "" | install | upgrade)
      if ! is_root && [[ -z $ROOT ]]; then
        usage >&2
        exit 2
      fi
      install_device
      ;;
    rollback) roll_back "$@" ;;
    uninstall | --uninstall) uninstall_device "$@" ;;
    bundle) make_bundle "$@" ;;
    --offline) install_offline "$@" ;;
    *)
      printf 'install.sh: "%s" is none of its modes\n\n' "$mode" >&2
      usage >&2
      exit 2
      ;;
  esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
