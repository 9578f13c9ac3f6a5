# shellcheck shell=bash
# What a device has besides its release: user, folders, configuration, kernel settings, udev names, units.
# Sourced by install.sh.

# package, what a device lacks without it
DEVICE_PACKAGES=(
  "python3-venv|the environment that twinhdr runs in"
  "python3-gi|GigE Vision and USB3 Vision cameras"
  "gir1.2-aravis-0.8|GigE Vision and USB3 Vision cameras"
)

# file of the release, its place, kind: "ours" is written again by every release, "yours" only where missing
DEVICE_FILES=(
  "systemd/config.yaml|/etc/twinhdr/config.yaml|yours"
  "systemd/60-twinhdr.conf|/etc/sysctl.d/60-twinhdr.conf|ours"
  "systemd/70-twinhdr.rules|/etc/udev/rules.d/70-twinhdr.rules|ours"
  "systemd/60-twinhdr-watchdog.conf|/etc/systemd/system.conf.d/60-twinhdr-watchdog.conf|ours"
  "systemd/60-twinhdr-journal.conf|/etc/systemd/journald.conf.d/60-twinhdr-journal.conf|ours"
  "systemd/twinhdr.service|/etc/systemd/system/twinhdr.service|ours"
  "systemd/twinhdr-engine.service|/etc/systemd/system/twinhdr-engine.service|ours"
  "systemd/twinhdr-probation.service|/etc/systemd/system/twinhdr-probation.service|ours"
  "systemd/71-twinhdr-usb.rules|/etc/udev/rules.d/71-twinhdr-usb.rules|ours"
  "systemd/twinhdr-usb@.service|/etc/systemd/system/twinhdr-usb@.service|ours"
  "systemd/twinhdr-usb-settle.service|/etc/systemd/system/twinhdr-usb-settle.service|ours"
  "systemd/setup/probation.sh|/opt/twinhdr/probation.sh|ours"
)

UNITS=(twinhdr.service twinhdr-engine.service twinhdr-probation.service twinhdr-usb-settle.service)

has_package() { [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]; }

install_packages() {
  [[ -z $ROOT ]] || return 0
  command -v dpkg-query >/dev/null || { warn "no dpkg here: make sure that python3 has venv, gi and Aravis 0.8"; return 0; }
  local row package loss missing=()
  for row in "${DEVICE_PACKAGES[@]}"; do
    IFS='|' read -r package loss <<<"$row"
    has_package "$package" || missing+=("$package")
  done
  if [[ ${#missing[@]} -gt 0 ]] && is_bundle && has_debs; then install_debs "${missing[@]}"; fi
  for row in "${DEVICE_PACKAGES[@]}"; do
    IFS='|' read -r package loss <<<"$row"
    ! has_package "$package" || continue
    say "installing the system package $package: $loss"
    apt_install "$package" || warn "apt-get could not install $package, so this device is without $loss"
  done
}

make_user() {
  if [[ -n $ROOT ]]; then
    note "left out below $ROOT: the user twinhdr"
    return
  fi
  if ! getent passwd twinhdr >/dev/null; then
    say "adding the system user twinhdr"
    useradd --system --user-group --home-dir /var/lib/twinhdr --no-create-home --shell /usr/sbin/nologin twinhdr
  fi
  local group
  for group in video render dialout; do # cameras; GPU; trigger board
    if getent group "$group" >/dev/null && ! id -nG twinhdr | grep -qw "$group"; then
      note "adding twinhdr to the group $group"
      usermod --append --groups "$group" twinhdr
    fi
  done
}

# conf.d is the service's own: the page and a USB stick write there, and never into config.yaml.
make_folders() {
  local owner=()
  [[ -n $ROOT ]] || owner=(-o twinhdr -g twinhdr)
  install -d -m 755 "$ROOT/etc/twinhdr"
  install -d -m 755 "${owner[@]}" "$ROOT/etc/twinhdr/conf.d"
  install -d -m 750 "${owner[@]}" "$ROOT/var/lib/twinhdr"
}

# On the disk, and before each change: an installation that was cut still owes the restart when it is run again.
mark_changed() { touch "$ROOT/opt/twinhdr/changed"; }
is_changed() { [[ -e $ROOT/opt/twinhdr/changed ]]; }

# Written beside and renamed: a unit that was cut in half would not start at the next boot.
put() { # FILE TARGET
  local mode=644
  if cmp -s "$1" "$2"; then return; fi
  say "writing $2"
  mark_changed
  [[ ! -x $1 ]] || mode=755
  install -D -m "$mode" "$1" "$2.new"
  mv -T "$2.new" "$2"
}

put_files() { # RELEASE
  local row file target kind folder=$ROOT/opt/twinhdr/releases/$1
  for row in "${DEVICE_FILES[@]}"; do
    IFS='|' read -r file target kind <<<"$row"
    if [[ ! -e $folder/$file ]]; then # an older release, on the way back, has fewer
      [[ $kind != ours ]] || rm -f "$ROOT$target"
      continue
    fi
    [[ $kind == ours || ! -e $ROOT$target ]] || continue
    put "$folder/$file" "$ROOT$target"
  done
}

apply_settings() {
  [[ -z $ROOT ]] || return 0
  sysctl -q -p /etc/sysctl.d/60-twinhdr.conf 2>/dev/null ||
    warn "the socket buffers of /etc/sysctl.d/60-twinhdr.conf could not be set now; they are set at the next boot"
  if command -v udevadm >/dev/null && [[ -d /run/udev ]]; then
    udevadm control --reload || warn "udev could not be told of the new names; they are there at the next boot"
    udevadm trigger --subsystem-match=tty --subsystem-match=usb || true # what is plugged in gets its name now
  fi
  if systemd_runs && is_changed; then
    systemctl try-restart systemd-journald.service || warn "the journal keeps its old size until the next boot"
  fi
}

systemd_runs() { [[ -z $ROOT && -d /run/systemd/system ]]; }

enable_units() {
  if ! command -v systemctl >/dev/null; then
    warn "left out: there is no systemctl, so nothing starts twinhdr at boot"
    return
  fi
  local unit units=()
  for unit in "${UNITS[@]}"; do
    [[ ! -e $ROOT/etc/systemd/system/$unit ]] || units+=("$unit")
  done
  systemctl --quiet --root="${ROOT:-/}" enable "${units[@]}"
  systemd_runs || { note "left out: systemd does not run here; twinhdr starts when this system boots"; return 0; }
  systemctl daemon-reload
}

# What is running is restarted only for something new. The probation then decides whether that stays.
start_release() {
  systemd_runs || return 0
  if is_changed; then
    say "starting twinhdr.service"
    systemctl reset-failed twinhdr.service 2>/dev/null || true # what failed before must not count against it
    systemctl restart --no-block twinhdr.service
    rm -f /opt/twinhdr/changed
  elif ! systemctl --quiet is-active twinhdr.service; then
    systemctl start --no-block twinhdr.service
  fi
}

run_doctor() {
  if [[ -n $ROOT ]]; then
    note "left out below $ROOT: twinhdr doctor, which looks at the running system"
    return
  fi
  say "twinhdr doctor, as the user of the service"
  runuser -u twinhdr -- /opt/twinhdr/current/venv/bin/twinhdr doctor ||
    warn "the doctor has found something to repair; see above"
}
