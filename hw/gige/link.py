"""One opened camera: device and stream. It lives from one opening to one loss and is never revived.

``pop`` is the reader's and touches the stream only; everything else is the keeper's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from edge.frames import Exposure, FrameStatus
from hw.camera import CameraError
from hw.gige.aravis import HeldError, call, load
from hw.gige.chunks import Chunks
from hw.gige.discovery import Found
from hw.gige.nodes import Nodes
from hw.gige.pixels import unpack
from hw.gige.plan import CameraPlan
from hw.gige.receive import EMPTY, Delivery, Settings, Source
from hw.gige.setup import TickWatch, arm, prepare, set_frame_rate, triggers_off
from hw.gige.shutter import probe
from hw.gige.sockets import enlarge

log = logging.getLogger(__name__)

BUFFERED_S = 0.6
"""What the reader may be held up without a loss."""
COUNTERS = ("n_failures", "n_underruns", "n_missing_packets", "n_resend_requests", "n_resent_packets")
FRAME_RETENTION_US = 60_000
"""So long after its last packet a frame is waited for; a damaged one holds the next ones up no longer."""


class Link:
    """Opens, sets up and arms in the constructor's order: nothing is filmed before ``film``.

    Raises CameraLostError, HeldError or CameraError.
    """

    def __init__(
        self, plan: CameraPlan, found: Found, exposures: Sequence[Exposure], packet_size: int | None
    ) -> None:
        self._aravis = load()
        self._plan = plan
        where = plan.where
        self._camera: Any = call(where, self._aravis.Camera.new, found.address if found.is_gige else found.id)
        self._stream: Any = None
        self.by_host = False
        """Whether the host writes each frame's exposure."""
        try:
            self._device: Any = self._camera.get_device()
            if found.is_gige and not self._device.is_controller():
                raise HeldError(f"{where}: another application controls it")
            self.nodes = Nodes(self._device, where)
            ticks = TickWatch(self._device, where) if found.is_gige else None
            prepared = prepare(self.nodes, plan, found)
            self.shutter, took = probe(self.nodes, prepared.quirks, plan.alternation, exposures, where)
            set_frame_rate(self.nodes, plan)
            self._wire, info = prepared.wire, prepared.info
            self._chunks = Chunks(self.nodes, self._camera, prepared.quirks, where)
            self.packet_size = self._packets(packet_size) if found.is_gige else None
            self._open_stream(found.is_gige)
            ratio = prepared.quirks.tick_ratio or (1.0 if ticks is None else ticks.ratio())
        except BaseException:
            # what did not answer while it was set up does not answer while it is closed
            threading.Thread(
                target=self.close, args=(False,), name=f"closing {plan.name}", daemon=True
            ).start()
            raise
        self.by_host = self.shutter.by_host
        self.settings = Settings(took, self.shutter.finder(took))
        self.source = Source(info, prepared.quirks, ratio, narrow_ids=found.is_gige)

    def film(self, source: str | None) -> str:
        """Let frames come: at once, or after an edge of ``source``. Returns the trigger that waits for it."""
        selector = "" if source is None else arm(self.nodes, self._plan, source)
        call(self._plan.where, self._camera.start_acquisition)
        return selector

    def run_free(self) -> None:
        """No further frame waits for an edge."""
        triggers_off(self.nodes)

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Cycle through ``exposures`` from about now on."""
        sent_ns = time.monotonic_ns()
        if (len(exposures) > 1) is (len(self.settings.latest) > 1):
            took = self.shutter.apply(exposures)
            if self.shutter.kind == "sequencer" or len(took) != len(self.settings.latest):
                self.settings.finder = self.shutter.finder(took)
        else:
            plan = self._plan
            for name in ("SequencerMode", "HDREnable"):
                if self.nodes.has(name):
                    self.nodes.set(name, "Off" if name == "SequencerMode" else False)
            self.shutter, took = probe(
                self.nodes, self.source.quirks, plan.alternation, exposures, plan.where
            )
            self.settings.finder = self.shutter.finder(took)
        self.by_host = self.shutter.by_host
        self.settings.changed(sent_ns, time.monotonic_ns(), took)

    def pop(self, timeout_s: float) -> Delivery | None:
        """The next buffer, if one comes in time."""
        stream = self._stream
        if stream is None:
            return None
        buffer = stream.timeout_pop_buffer(max(1, round(timeout_s * 1e6)))
        if buffer is None:
            return None
        try:
            return self._delivery(buffer)
        finally:
            stream.push_buffer(buffer)

    def waiting(self) -> int:
        """Buffers that were received and not yet popped; Aravis counts a waiting reader as -1."""
        return 0 if self._stream is None else max(0, int(self._stream.get_n_buffers()[1]))

    def counters(self) -> dict[str, int]:
        """What the stream counts, by Aravis' names (``n_missing_packets`` and so on)."""
        stream = self._stream
        if stream is None:
            return {}
        names = {stream.get_info_name(index) for index in range(stream.get_n_infos())}
        return {name: int(stream.get_info_uint64_by_name(name)) for name in COUNTERS if name in names}

    def close(self, answers: bool) -> None:
        """Let go of the device. Without an answer that takes up to ten seconds: not for a thread that counts.

        Nothing else may use the link any more.
        """
        if answers and self._camera is not None:
            try:
                call(self._plan.where, self._camera.stop_acquisition)
            except CameraError as error:
                log.debug("while closing: %s", error)
        # In this order: the stream tells the device to stop sending, then the device gives up control.
        self._stream = None
        self._chunks = None  # type: ignore[assignment]
        self.nodes = self.shutter = None  # type: ignore[assignment]
        self._device = None
        self._camera = None

    def _packets(self, known: int | None) -> int:
        camera, plan = self._camera, self._plan
        camera.gv_set_stream_options(self._aravis.GvStreamOption.PACKET_SOCKET_DISABLED)
        camera.gv_set_packet_size_adjustment(self._aravis.GvPacketSizeAdjustment.NEVER)
        call(plan.where, camera.gv_set_packet_delay, plan.packet_delay_ns)
        wanted = plan.packet_size or known
        if wanted is not None:
            call(plan.where, camera.gv_set_packet_size, wanted)
        else:
            try:
                call(plan.where, camera.gv_auto_packet_size)
            except CameraError as error:
                if type(error) is not CameraError:
                    raise
                log.info("%s: the packet size stays as it is (%s)", plan.where, error)
        return int(call(plan.where, camera.gv_get_packet_size))

    def _open_stream(self, is_gige: bool) -> None:
        camera, plan = self._camera, self._plan
        stream = call(plan.where, camera.create_stream, None, None)
        if is_gige:
            stream.set_property("socket-buffer", self._aravis.GvStreamSocketBuffer.FIXED)
            stream.set_property("socket-buffer-size", plan.socket_buffer_bytes)
            self._enlarge(int(stream.get_port()))
            stream.set_property("packet-resend", self._aravis.GvStreamPacketResend.ALWAYS)
            stream.set_property("frame-retention", FRAME_RETENTION_US)
        payload = int(call(plan.where, camera.get_payload))
        for _ in range(min(64, max(8, round(plan.fps * BUFFERED_S)))):
            stream.push_buffer(self._aravis.Buffer.new_allocate(payload))
        self._stream = stream

    def _enlarge(self, port: int) -> None:
        wanted = self._plan.socket_buffer_bytes
        granted = enlarge(port, wanted)
        if granted is not None and granted < wanted:
            log.warning(
                "%s: its receive buffer is %d KiB, not %d: frames will be lost; run: "
                "sudo sysctl -w net.core.rmem_max=%d",
                self._plan.where, granted >> 10, wanted >> 10, wanted,
            )  # fmt: skip

    def _delivery(self, buffer: Any) -> Delivery:
        plan, wire, status = self._plan, self._wire, self._status(buffer)
        image, exposure = EMPTY, None
        if status is FrameStatus.OK:
            try:
                image = unpack(buffer.get_data(), wire, plan.width, plan.height, _padding(buffer))
                exposure = self._chunks.exposure(buffer, self.settings.latest)
            except ValueError as error:
                log.warning("%s: %s", plan.where, error)
                status = FrameStatus.WRONG_SIZE
        now_ns = time.monotonic_ns()
        age_ns = time.time_ns() - buffer.get_system_timestamp()  # of its first packet, on the wall clock
        return Delivery(
            status=status,
            frame_id=buffer.get_frame_id(),
            stamp_ns=buffer.get_timestamp(),
            host_ns=now_ns - min(max(age_ns, 0), 1_000_000_000),
            image=image,
            exposure=exposure,
            underruns=int(self._stream.get_info_uint64_by_name("n_underruns")),
        )

    def _status(self, buffer: Any) -> FrameStatus:
        codes, status = self._aravis.BufferStatus, buffer.get_status()
        if status == codes.SUCCESS:
            same = (
                buffer.get_image_width() == self._plan.width
                and buffer.get_image_height() == self._plan.height
                and buffer.get_image_pixel_format() & 0xFFFF_FFFF == self._wire.code
            )
            return FrameStatus.OK if same else FrameStatus.WRONG_SIZE
        return FrameStatus.WRONG_SIZE if status == codes.SIZE_MISMATCH else FrameStatus.INCOMPLETE


def _padding(buffer: Any) -> int:
    """Bytes behind each row; Aravis before 0.8.23 cannot tell and knows no camera that has any."""
    if not hasattr(buffer, "get_image_padding"):
        return 0
    return int(buffer.get_image_padding()[0])
