"""The way out, under real systemd. The last module: it takes the device away."""

from __future__ import annotations

from device import UNIT, Device


def test_uninstall_leaves_recordings_and_nothing_that_runs(device: Device) -> None:
    """Film outlives the program, and the machine is as it was before."""
    sessions = len(device.sessions())
    device.machine.ended("systemctl start twinhdr-usb@none.service")  # a stick that was pulled: a failed unit
    device.machine.run("/opt/twinhdr/current/install.sh uninstall")
    assert device.machine.run("systemctl list-unit-files 'twinhdr*' --no-legend", check=False) == ""
    assert device.machine.run("systemctl list-units --all 'twinhdr*' --no-legend", check=False) == ""
    assert device.machine.run("pgrep -u twinhdr", check=False) == ""
    left = device.machine.run("find /etc /opt /usr/lib /lib -name '*twinhdr*' ! -path '/etc/twinhdr*'")
    assert left == ""
    assert len(device.sessions()) == sessions > 0
    assert device.path("/etc/twinhdr/config.yaml").exists()
    assert device.machine.run("systemctl show --property=RuntimeWatchdogUSec --value") == "0"


def test_purge_leaves_nothing_and_installing_again_works(device: Device) -> None:
    """A device that is given away has nobody's film on it; one that is set up anew is as good as new."""
    device.install_offline()
    device.wait_recording()
    device.machine.run("/opt/twinhdr/current/install.sh uninstall --purge")
    workshop = device.first.folder.parent  # the host's, where bundles lie
    found = f"find / -xdev -path {workshop} -prune -o -name '*twinhdr*' ! -path '/tmp/*' -print"
    assert device.machine.run(found) == ""
    assert device.machine.ended("getent passwd twinhdr")[0] != 0
    assert device.machine.show(UNIT, "LoadState") == "not-found"
