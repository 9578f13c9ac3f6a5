# shellcheck shell=bash
# Releases: built beside each other below /opt/twinhdr/releases; "current" and "previous" say which two count.
# Sourced by install.sh, which has say, note, warn, die and what makes virtual environments.

RELEASE_PARTS=(edge export hw systemd install.sh pyproject.toml README.md LICENSE)

# The version, and eight digits of the content: two states of the code are never the same release.
release_name() {
  local version content
  version=$(sed -nE '0,/^version = "(.+)"/s//\1/p' "$HERE/pyproject.toml")
  content=$(cd "$HERE" && find "${RELEASE_PARTS[@]}" -type f ! -path '*/__pycache__/*' ! -name '*.pyc' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-8)
  echo "$version-$content"
}

release_of() { # LINK: the name of the release that a link of /opt/twinhdr points to, or nothing
  local target
  target=$(readlink "$ROOT/opt/twinhdr/$1" || true)
  echo "${target#releases/}"
}

# JetPack brings TensorRT; pycuda is compiled here against its CUDA. Without them the network runs on the CPU.
install_pycuda() { # VENV SOURCE
  "$1/bin/python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("tensorrt") is None)' || return 0
  [[ -d /usr/local/cuda/bin ]] || { warn "TensorRT is here without the CUDA toolkit, so pycuda is left out"; return 0; }
  say "TensorRT is here: compiling pycuda for it (minutes)"
  PATH=$PATH:/usr/local/cuda/bin pip_install "$1" "$2[device]" ||
    warn "pycuda could not be installed, so networks run on the CPU; afterwards: $1/bin/pip install pycuda"
}

is_complete() { [[ -e $1/complete ]] && is_sound "$1/venv"; } # FOLDER

# Built where it will run, because a virtual environment cannot be moved. The mark "complete" comes last, so
# a release that was cut is made again and never switched to. Its own install.sh is the way back and out on a
# device that has no clone.
build_release() { # FOLDER
  local folder=$1 source=$1/source # setuptools writes beside what it builds; the clone stays as it is
  if is_complete "$folder"; then
    note "release ${folder##*/} is already there"
    return
  fi
  say "building release ${folder##*/} in $folder (minutes)"
  rm -rf "$folder"
  mkdir -p "$source"
  make_environment "$folder/venv"
  (cd "$HERE" && cp -r "${RELEASE_PARTS[@]}" "$source")
  pip_install "$folder/venv" "$source"
  install_pycuda "$folder/venv" "$source"
  cp -r "$source/systemd" "$source/install.sh" "$source/pyproject.toml" "$folder"
  rm -rf "$source"
  "$folder/venv/bin/twinhdr" --help >/dev/null || die "release ${folder##*/} does not start; the current one stays"
  sync -f "$folder"
  touch "$folder/complete"
}

point() { # LINK RELEASE; atomic, and relative so that it holds below TWINHDR_ROOT
  local base=$ROOT/opt/twinhdr
  [[ $(readlink "$base/$1" || true) != "releases/$2" ]] || return 0
  mark_changed
  ln -sfn "releases/$2" "$base/$1.new"
  mv -T "$base/$1.new" "$base/$1"
}

# The way back is named before the switch: a cut between the two leaves the old release with itself as previous.
switch_to() { # RELEASE
  local old
  old=$(release_of current)
  [[ $old != "$1" ]] || return 0
  say "switching $ROOT/opt/twinhdr/current to releases/$1"
  if [[ -n $old ]] && is_complete "$ROOT/opt/twinhdr/releases/$old"; then point previous "$old"; fi
  point current "$1"
}

remove_old_releases() {
  local folder keep
  keep=" $(release_of current) $(release_of previous) "
  for folder in "$ROOT"/opt/twinhdr/releases/*/; do
    folder=${folder%/}
    [[ -d $folder && $keep != *" ${folder##*/} "* ]] || continue
    note "removing release ${folder##*/}"
    rm -rf "$folder"
  done
}
