#!/usr/bin/env bash
# Keeps a new release only after it was healthy for a minute; else brings back the one before.
# Run by twinhdr-probation.service, after an upgrade and, where that was cut, at the next boot. It lies outside
# the releases, so that a release that is broken can still be left.
set -Eeuo pipefail

BASE=${TWINHDR_ROOT:-}/opt/twinhdr
HEALTHY_S=${TWINHDR_HEALTHY_S:-60}
FALLS=10
STARTS_S=${TWINHDR_STARTS_S:-180} # how long it may take until the first frame is recorded

mark=$BASE/probation
[[ -e $mark ]] || exit 0
old=$(sed -n 's/^old=//p' "$mark")
new=$(sed -n 's/^new=//p' "$mark")
run=$(sed -n 's/^run=//p' "$mark")

property() { systemctl show twinhdr.service --property="$1" --value; }

healthy() { # SECONDS: active all the time, and not started anew in it
  local restarts end=$((SECONDS + $1))
  restarts=$(property NRestarts)
  while ((SECONDS < end)); do
    [[ $(property ActiveState) == active && $(property NRestarts) == "$restarts" ]] || return 1
    sleep 1
  done
}

# What ran when the mark was written is the old release, and may be active until its restart begins.
started() {
  local end=$((SECONDS + STARTS_S))
  while ((SECONDS < end)); do
    if [[ -z $run || $(property InvocationID) != "$run" ]]; then
      case $(property ActiveState) in
        active) return 0 ;;
        failed) return 1 ;;
      esac
      (($(property NRestarts) < FALLS)) || return 1 # the unit itself never gives up
    fi
    sleep 1
  done
  return 1
}

# The installer was cut before the switch: there is nothing to judge.
if [[ $(readlink "$BASE/current") != "releases/$new" ]]; then
  rm -f "$mark"
  exit 0
fi
if started && healthy "$HEALTHY_S"; then
  echo "release $new was healthy for $HEALTHY_S s and stays"
  rm -f "$mark"
  exit 0
fi
echo "release $new was not healthy for $HEALTHY_S s; going back to $old" >&2
"$BASE/releases/$old/install.sh" rollback --to "$old"
exit 1
