"""What machine this is, read from files below a root, so that a test can show any machine.

Nothing here imports CUDA or TensorRT: without a driver TensorRT's runtime ends the whole process.
"""

from hw.device.cuda import CudaProbe, probe_cuda
from hw.device.disk import Mount, mount_of
from hw.device.facts import Device, read_device
from hw.device.network import Interface
from hw.device.system import Clock, Swap
from hw.device.thermal import Throttle, Trip
from hw.device.usb import UsbDevice

__all__ = [
    "Clock",
    "CudaProbe",
    "Device",
    "Interface",
    "Mount",
    "Swap",
    "Throttle",
    "Trip",
    "UsbDevice",
    "mount_of",
    "probe_cuda",
    "read_device",
]
