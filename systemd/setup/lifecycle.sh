# shellcheck shell=bash
# Install, upgrade, roll back, uninstall: the order of the steps. Each can be cut at any step and run again.
# Sourced by install.sh.

check_root() {
  umask 022
  [[ -z $ROOT || $ROOT == /* ]] || die "TWINHDR_ROOT=$ROOT: give the whole path"
  is_root || [[ -n $ROOT ]] || die "this changes the system; run it with sudo"
}

# Put files, links and units in the order that leaves a working device wherever it is cut: the mark of the
# probation is written before the switch that it judges.
deploy() { # RELEASE
  local old
  old=$(release_of current)
  if [[ -n $old && $old != "$1" ]]; then begin_probation "$old" "$1"; fi
  make_folders
  put_files "$1"
  switch_to "$1"
  apply_settings
  enable_units
}

# Only what was recording can be judged by whether it still does: without its cameras no release is healthy.
begin_probation() { # OLD NEW
  is_complete "$ROOT/opt/twinhdr/releases/$1" || return 0
  if systemd_runs && ! systemctl --quiet is-active twinhdr.service; then
    note "twinhdr was not recording, so the new release stays whatever it does"
    return
  fi
  local run=""
  ! systemd_runs || run=$(systemctl show twinhdr.service --property=InvocationID --value)
  printf 'old=%s\nnew=%s\nrun=%s\n' "$1" "$2" "$run" >"$ROOT/opt/twinhdr/probation.new"
  mv -T "$ROOT/opt/twinhdr/probation.new" "$ROOT/opt/twinhdr/probation"
}

install_device() {
  local release base=$ROOT/opt/twinhdr
  check_root
  [[ -d $HERE/edge ]] || die "this is an installed release; to upgrade, run install.sh of a newer clone or bundle"
  check_machine "$base" 2000
  release=$(release_name)
  say "installing twinhdr $release as a device into ${ROOT:-/}"
  ! is_bundle || check_bundle
  install_packages
  build_release "$base/releases/$release"
  make_user
  deploy "$release"
  start_release
  await_probation
  remove_old_releases
  run_doctor
  say "twinhdr $(release_of current) is installed"
  note "configuration: $ROOT/etc/twinhdr/config.yaml; recordings: $ROOT/var/lib/twinhdr/sessions"
  note "back to the release before: sudo $base/current/install.sh rollback"
}

# Where systemd runs, its unit judges, now or after a power cut; elsewhere the next boot does.
await_probation() {
  [[ -e $ROOT/opt/twinhdr/probation ]] || return 0
  if ! systemd_runs; then
    note "the release before comes back by itself unless this one is healthy for 60 s after the next boot"
    return 0
  fi
  say "watching the new release for 60 s"
  systemctl start twinhdr-probation.service ||
    die "the new release was not healthy for 60 s, so $(release_of current) is back; see: journalctl -u twinhdr"
}

# With --to, for the probation, there is no way forward again: what failed is not a release to go back to.
roll_back() { # [--to RELEASE]
  local previous base=$ROOT/opt/twinhdr
  check_root
  previous=$(release_of previous)
  if [[ ${1:-} == --to ]]; then previous=${2:-}; fi
  [[ -n $previous ]] || die "there is no release before $(release_of current)"
  is_complete "$base/releases/$previous" ||
    die "release $previous is damaged; install again from a clone: sudo ./install.sh"
  say "going back from $(release_of current) to $previous"
  rm -f "$base/probation" # a person has decided
  put_files "$previous"
  switch_to "$previous"
  [[ ${1:-} != --to ]] || rm -f "$base/previous"
  apply_settings
  enable_units
  start_release
  say "twinhdr $previous is current; configuration and recordings are as they were"
}

uninstall_device() { # [--purge]
  check_root
  local row target kind purge=${1:-}
  [[ -z $purge || $purge == --purge ]] || die "uninstall knows --purge and not \"$purge\""
  if command -v systemctl >/dev/null; then
    ! systemd_runs || systemctl --quiet stop "${UNITS[@]}" 'twinhdr-usb@*' 2>/dev/null || true
    systemctl --quiet --root="${ROOT:-/}" disable "${UNITS[@]}" 2>/dev/null || true
    ! systemd_runs || systemctl reset-failed 'twinhdr*' 2>/dev/null || true
  fi
  for row in "${DEVICE_FILES[@]}"; do
    IFS='|' read -r _ target kind <<<"$row"
    [[ $kind == ours ]] || continue
    rm -f "$ROOT$target"
  done
  rm -rf "$ROOT/opt/twinhdr"
  if systemd_runs; then
    systemctl daemon-reload
    systemctl try-restart systemd-journald.service || true # as large again as it was before
    ! command -v udevadm >/dev/null || udevadm control --reload || true
  fi
  if [[ -z $purge ]]; then
    say "twinhdr is uninstalled; kept: $ROOT/etc/twinhdr and $ROOT/var/lib/twinhdr (--purge removes them, too)"
    return
  fi
  rm -rf "$ROOT/etc/twinhdr" "$ROOT/var/lib/twinhdr" "$ROOT/var/lib/twinhdr-usb"
  [[ -n $ROOT ]] || ! getent passwd twinhdr >/dev/null || userdel twinhdr
  say "twinhdr is uninstalled, with its configuration, its recordings and its user"
}
