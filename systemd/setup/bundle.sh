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

# With all that they depend on: what the device has already is left alone when they are installed.
fetch_debs() { # FOLDER
  local row names=()
  for row in "${DEVICE_PACKAGES[@]}"; do names+=("${row%%|*}"); done
  say "fetching system packages"
  apt-get install --print-uris --yes --quiet=2 --no-install-recommends -o Dir::State::status=/dev/null "${names[@]}" 2>/dev/null |
    sed -nE "s|^'[^']*/([^/_]+)_[^']*'.*|\1|p" | sed 's/%2b/+/g' | sort -u |
    (cd "$1" && xargs -r apt-get download -qq >/dev/null 2>&1) ||
    warn "not all system packages could be fetched; the device must have what is missing"
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

check_bundle() { # of this folder, before anything is done
  local arch version
  arch=$(sed -n 's/^arch=//p' "$HERE/bundle")
  version=$(sed -n 's/^python=//p' "$HERE/bundle")
  [[ $arch == "$(uname -m)" ]] || die "this bundle is for $arch, and this machine is $(uname -m)"
  [[ $version == "$(version_of "$PYTHON")" ]] ||
    die "this bundle is for Python $version, and $PYTHON is $(version_of "$PYTHON"); make one with --python $(version_of "$PYTHON")"
}

install_debs() {
  local deb missing=()
  for deb in "$HERE"/debs/*.deb; do
    [[ -e $deb ]] || continue
    has_package "$(dpkg-deb --field "$deb" Package)" || missing+=("$deb")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing ${#missing[@]} system packages from the bundle"
  dpkg --install "${missing[@]}" >/dev/null 2>&1 || warn "some system packages of the bundle do not fit this system"
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
