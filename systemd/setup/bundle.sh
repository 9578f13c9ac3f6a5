# shellcheck shell=bash
# An installation in one file, for devices without a network: the code, its wheels, its system packages.
# Sourced by install.sh. A folder that has "wheels" in it is an unpacked bundle and never asks the network.

is_bundle() { [[ -d $HERE/wheels ]]; }

# Wheels for another machine than this one are fetched as they are; ones that would need a compiler do not exist.
fetch_wheels() { # FOLDER ARCH PYTHON
  local requirements pip
  pip=$(dirname "$1")/pip
  "$PYTHON" -m venv "$pip"
  requirements=$("$PYTHON" - "$HERE/pyproject.toml" <<'PY'
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.S | re.M).group(1)
print("\n".join(re.findall(r'^\s*"([^"]+)"', block, re.M)))
print("setuptools>=68")
print("wheel")
PY
  )
  local tag platforms=()
  for tag in manylinux_2_35 manylinux_2_34 manylinux_2_31 manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do
    platforms+=(--platform "${tag}_$2")
  done
  say "fetching wheels for $2, Python $3"
  mapfile -t requirements <<<"$requirements"
  "$pip/bin/python" -m pip download --quiet --disable-pip-version-check --dest "$1" --only-binary=:all: \
    --python-version "$3" "${platforms[@]}" "${requirements[@]}"
  rm -rf "$pip"
}

# With all that they depend on, whatever this machine has installed or has in apt's cache: the device may lack it.
fetch_debs() { # FOLDER
  local row names=() cache
  for row in "${DEVICE_PACKAGES[@]}"; do names+=("${row%%|*}"); done
  say "fetching system packages"
  cache=$(dirname "$1")/apt
  mkdir -p "$cache/partial"
  apt-get install --download-only --yes --quiet=2 --no-install-recommends -o Dir::State::status=/dev/null \
    -o Dir::Cache::archives="$cache" -o Debug::NoLocking=true -o APT::Sandbox::User=root "${names[@]}" >/dev/null 2>&1 ||
    warn "not all system packages could be fetched; the device must have what is missing"
  local deb name
  for deb in "$cache"/*.deb; do
    name=${deb##*/}
    [[ ! -e $deb ]] || mv "$deb" "$1/${name//%3a/.}" # apt would read the sign in an address
  done
  rm -rf "$cache"
}

make_bundle() { # FILE [--arch ARCH] [--python VERSION]
  local file=${1:-} arch version staging name
  [[ -n $file && $file != --* ]] || die "name the file to write: ./install.sh bundle twinhdr.tar"
  shift
  arch=$(uname -m)
  choose_python
  version=$(version_of "$PYTHON")
  while [[ $# -gt 0 ]]; do
    case $1 in
      --arch) arch=$2 ;;
      --python) version=$2 ;;
      *) die "bundle knows --arch and --python and not \"$1\"" ;;
    esac
    shift 2
  done
  case $arch in x86_64 | aarch64) ;; *) die "--arch is x86_64 or aarch64, not $arch" ;; esac
  [[ " $PYTHONS " == *" $version "* ]] || die "--python is one of $PYTHONS, not $version"
  staging=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$staging'" EXIT
  name=twinhdr-$(release_name)
  mkdir -p "$staging/$name/wheels" "$staging/$name/debs"
  fetch_wheels "$staging/$name/wheels" "$arch" "$version"
  if [[ $arch == "$(uname -m)" ]] && command -v apt-get >/dev/null; then fetch_debs "$staging/$name/debs"; fi
  (cd "$HERE" && tar -c --exclude=__pycache__ "${RELEASE_PARTS[@]}") | tar -x -C "$staging/$name"
  printf 'arch=%s\npython=%s\n' "$arch" "$version" >"$staging/$name/bundle"
  tar -cf "$file.new" -C "$staging" "$name"
  mv "$file.new" "$file"
  say "wrote $file ($(($(stat -c %s "$file") / 1000000)) MB): for $arch with Python $version"
  note "on the device: sudo ./install.sh --offline ${file##*/}, or unpack it and run its install.sh"
}

# Before anything is done. The Python that is there may lack venv yet, or be missing: the bundle brings both.
check_bundle() {
  local arch version here
  arch=$(sed -n 's/^arch=//p' "$HERE/bundle")
  version=$(sed -n 's/^python=//p' "$HERE/bundle")
  [[ $arch == "$(uname -m)" ]] || die "this bundle is for $arch, and this machine is $(uname -m)"
  here=$(version_of "${TWINHDR_PYTHON:-$DISTRIBUTION_PYTHON}")
  if [[ -z $here ]] && has_debs; then return; fi
  [[ $version == "$here" ]] ||
    die "this bundle is for Python $version, and this machine's is ${here:-missing}; make one with --python ${here:-3.11}"
}

has_debs() { compgen -G "$HERE/debs/*.deb" >/dev/null; }

index_debs() { # FOLDER WITH debs: makes it a source of apt
  local deb
  for deb in "$1"/debs/*.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: ./debs/%s\nSize: %s\nSHA256: %s\n\n' "${deb##*/}" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)"
  done >"$1/Packages"
}

# A bundle may lie on a read-only stick, in a folder with spaces, so apt gets a folder of its own.
open_debs() { # FOLDER
  mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
  ln -s "$HERE/debs" "$1/debs"
  index_debs "$1"
  echo "deb [trusted=yes] file:$1 ./" >"$1/sources"
}

apt_of_bundle() { # FOLDER ARGUMENTS...: apt-get, with the bundle as its only source
  local folder=$1
  shift
  env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 -o Dpkg::Use-Pty=0 -o "Dir::Etc::SourceList=$folder/sources" \
    -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache" \
    -o APT::Sandbox::User=root --no-install-recommends "$@"
}

# By apt, which takes what the missing packages need and leaves the rest alone; dpkg would stop at the first
# that needs another build of something that the device has.
install_debs() { # PACKAGE...
  local apt
  apt=$(mktemp -d)
  open_debs "$apt"
  say "installing from the bundle: $*"
  if ! { apt_of_bundle "$apt" update && apt_of_bundle "$apt" install --yes "$@"; } >"$apt/log" 2>&1; then
    sed 's/^/    /' "$apt/log" >&2
    warn "the system packages of the bundle do not fit this system"
  fi
  rm -rf "$apt"
}

install_offline() { # FILE
  local unpacked
  [[ -f ${1:-} ]] || die "name the bundle: sudo ./install.sh --offline FILE"
  check_root
  unpacked=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$unpacked'" EXIT
  tar -xf "$1" -C "$unpacked" --strip-components=1 --no-same-owner ||
    die "$1 is damaged or no bundle; make it again: ./install.sh bundle FILE"
  [[ -x $unpacked/install.sh && -d $unpacked/wheels ]] || die "$1 is no bundle; make one: ./install.sh bundle FILE"
  "$unpacked/install.sh"
}
