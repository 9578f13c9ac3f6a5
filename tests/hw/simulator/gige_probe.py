"""Receives both simulated cameras with Aravis and prints what came, as JSON. Runs inside of the network.

usage: gige_probe.py SECONDS RESEND LINE_SOCKET...   (RESEND: 0 or 1; without sockets the cameras run free)
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

import gi
import numpy as np

gi.require_version("Aravis", "0.8")
from gi.repository import Aravis, GLib  # noqa: E402

EXPOSURES_US = (2000, 32000, 2000, 32000)


def prepare(address: str, fps: float, edge: bool) -> tuple[Any, Any]:
    camera = Aravis.Camera.new(address)
    device = camera.get_device()
    camera.set_region(0, 0, 320, 240)
    camera.set_pixel_format_from_string("BayerRG12")
    camera.set_frame_rate(fps)
    camera.set_exposure_time(8000)
    if device.get_feature("ChunkModeActive") is not None:
        camera.set_chunks("ExposureTime,Gain,Timestamp")
    if address.endswith("3"):
        for slot, exposure_us in enumerate(EXPOSURES_US):
            device.set_integer_feature_value("HDRSelector", slot)
            device.set_integer_feature_value("HDRShuter", exposure_us)
        device.set_boolean_feature_value("HDREnable", True)
    if edge:
        device.set_string_feature_value("TriggerSelector", "AcquisitionStart")
        device.set_string_feature_value("TriggerSource", "Line0")
        device.set_string_feature_value("TriggerMode", "On")
    camera.gv_set_packet_size(1500)
    camera.gv_set_stream_options(Aravis.GvStreamOption.PACKET_SOCKET_DISABLED)
    return camera, device


def stream_of(camera: Any, resend: bool) -> Any:
    stream = camera.create_stream(None, None)
    stream.set_property("socket-buffer", Aravis.GvStreamSocketBuffer.FIXED)
    stream.set_property("socket-buffer-size", 4 << 20)
    if not resend:
        stream.set_property("packet-resend", Aravis.GvStreamPacketResend.NEVER)
    for _ in range(16):
        stream.push_buffer(Aravis.Buffer.new_allocate(camera.get_payload()))
    return stream


def receive(stream: Any, parser: Any, until_s: float, rows: list[dict[str, Any]]) -> None:
    while time.monotonic() < until_s:
        buffer = stream.timeout_pop_buffer(100_000)
        if buffer is None:
            continue
        row: dict[str, Any] = {
            "status": buffer.get_status().value_nick,
            "id": buffer.get_frame_id(),
            "stamp": buffer.get_timestamp(),
        }
        if row["status"] == "success":
            pixels = np.frombuffer(buffer.get_data(), np.uint16, 320 * 240)
            row["level"] = float(pixels.mean())
            if parser is not None:
                row["exposure_us"] = parser.get_float_value(buffer, "ChunkExposureTime")
        rows.append(row)
        stream.push_buffer(buffer)


def refused() -> bool:
    """Whether a second control channel is turned away."""
    try:
        other = Aravis.GvDevice.new(GLib_address("127.0.0.1"), GLib_address("127.0.0.2"))
        return not other.is_controller()
    except GLib.Error:
        return True


def GLib_address(text: str) -> Any:  # noqa: N802
    from gi.repository import Gio

    return Gio.InetAddress.new_from_string(text)


def main() -> None:
    seconds, resend, lines = float(sys.argv[1]), sys.argv[2] == "1", sys.argv[3:]
    Aravis.update_device_list()
    found = sorted(Aravis.get_device_serial_nbr(i) for i in range(Aravis.get_n_devices()))
    cameras = [prepare(a, fps, bool(lines)) for a, fps in (("127.0.0.2", 30.0), ("127.0.0.3", 15.0))]
    largest = [camera.gv_auto_packet_size() for camera, _ in cameras]
    for camera, _ in cameras:
        camera.gv_set_packet_size(1500)
    streams = [stream_of(camera, resend) for camera, _ in cameras]
    turned_away = refused()
    rows: list[list[dict[str, Any]]] = [[], []]
    for camera, _ in cameras:
        camera.start_acquisition()
    early = [stream.timeout_pop_buffer(200_000) is not None for stream in streams] if lines else []
    if lines:
        edge = f"Line0 {time.monotonic_ns()}".encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            for path in lines:
                wire.sendto(edge, path)
    threads = []
    for (_, device), stream, out in zip(cameras, streams, rows, strict=True):
        parser = device.create_chunk_parser() if device.get_feature("ChunkModeActive") is not None else None
        arguments = (stream, parser, time.monotonic() + seconds, out)
        threads.append(threading.Thread(target=receive, args=arguments))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for camera, _ in cameras:
        camera.stop_acquisition()
    answer = {
        "found": found, "early": early, "rows": rows, "largest": largest, "refused": turned_away,
    }  # fmt: skip
    print(json.dumps(answer))


main()
