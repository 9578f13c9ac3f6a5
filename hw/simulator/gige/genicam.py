"""The camera's description of itself: GenICam XML (GenApi schema 1.1) made from the table of features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from hw.simulator.gige.features import CHUNKS, Feature

_NAMESPACE = "http://www.genicam.org/GenApi/Version_1_1"
_GUID = "4bd14f5a-2a6b-4b4c-9c3f-2f2f5f1f6f0"
_STREAM_CHANNEL = """\
<Integer Name="GevSCPSPacketSize" NameSpace="Standard"><pValue>GevSCPSPacketSizeRegister</pValue>\
<Min>220</Min><Max>9156</Max><Inc>8</Inc></Integer>
<MaskedIntReg Name="GevSCPSPacketSizeRegister"><Address>0xd04</Address><Length>4</Length>\
<AccessMode>RW</AccessMode><pPort>Device</pPort><Cachable>NoCache</Cachable><LSB>31</LSB><MSB>16</MSB>\
<Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></MaskedIntReg>
<Boolean Name="GevSCPSDoNotFragment" NameSpace="Standard"><pValue>GevSCPSDoNotFragmentRegister</pValue>\
<OnValue>1</OnValue><OffValue>0</OffValue></Boolean>
<MaskedIntReg Name="GevSCPSDoNotFragmentRegister"><Address>0xd04</Address><Length>4</Length>\
<AccessMode>RW</AccessMode><pPort>Device</pPort><Cachable>NoCache</Cachable><Bit>1</Bit>\
<Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></MaskedIntReg>
<Command Name="GevSCPSFireTestPacket" NameSpace="Standard"><pValue>GevSCPSFireTestPacketRegister</pValue>\
<CommandValue>1</CommandValue></Command>
<MaskedIntReg Name="GevSCPSFireTestPacketRegister"><Address>0xd04</Address><Length>4</Length>\
<AccessMode>RW</AccessMode><pPort>Device</pPort><Cachable>NoCache</Cachable><Bit>0</Bit>\
<Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></MaskedIntReg>
<IntReg Name="GevTimestampTickFrequency" NameSpace="Standard"><Address>0x93c</Address><Length>8</Length>\
<AccessMode>RO</AccessMode><pPort>Device</pPort><Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></IntReg>
<IntReg Name="GevSCPD" NameSpace="Standard"><Address>0xd08</Address><Length>4</Length>\
<AccessMode>RW</AccessMode><pPort>Device</pPort><Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></IntReg>"""
"""Bit 0 is the highest, as registers are big-endian."""


def description(rows: Iterable[Feature], *, vendor: str, model: str) -> bytes:
    """The whole document. Values are big-endian; nothing may be cached, as the device changes them too."""
    rows = list(rows)
    categories = sorted({row.category for row in rows})
    if any(row.name == "ChunkSelector" for row in rows):
        rows_xml = [*map(_node, rows, _selected(rows)), *_chunk_nodes()]
    else:
        rows_xml = list(map(_node, rows, _selected(rows)))
    head = (
        f'<RegisterDescription ModelName="{_word(model)}" VendorName="{_word(vendor)}" '
        f'ToolTip="simulated camera" StandardNameSpace="GEV" SchemaMajorVersion="1" SchemaMinorVersion="1" '
        f'SchemaSubMinorVersion="0" MajorVersion="1" MinorVersion="0" SubMinorVersion="0" '
        f'ProductGuid="{_GUID}1" VersionGuid="{_GUID}2" '
        f'xmlns="{_NAMESPACE}">'
    )
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        head,
        '<Category Name="Root" NameSpace="Standard">',
        *(f"<pFeature>{category}</pFeature>" for category in ["DeviceControl", *categories]),
        "</Category>",
        *_device_control(),
        *_categories(rows),
        _STREAM_CHANNEL,
        *rows_xml,
        '<Port Name="Device" NameSpace="Standard"></Port>',
        "</RegisterDescription>",
    ]
    return "\n".join(parts).encode()


def _word(text: str) -> str:
    return escape(text.replace("-", "_").replace(" ", "_"))


def _selected(rows: list[Feature]) -> list[list[str]]:
    """Of each row, the features that it selects."""
    return [[other.name for other in rows if other.selector == row.name] for row in rows]


def _device_control() -> Iterator[str]:
    texts = (
        ("DeviceVendorName", 0x48, 32),
        ("DeviceModelName", 0x68, 32),
        ("DeviceVersion", 0x88, 32),
        ("DeviceManufacturerInfo", 0xA8, 48),
        ("DeviceID", 0xD8, 16),
        ("DeviceSerialNumber", 0xD8, 16),
        ("DeviceUserID", 0xE8, 16),
    )
    yield '<Category Name="DeviceControl" NameSpace="Standard">'
    yield from (f"<pFeature>{name}</pFeature>" for name, _, _ in texts)
    yield "</Category>"
    for name, address, length in texts:
        yield (
            f'<StringReg Name="{name}" NameSpace="Standard"><Address>{address:#x}</Address>'
            f"<Length>{length}</Length><AccessMode>RO</AccessMode><pPort>Device</pPort></StringReg>"
        )


def _categories(rows: list[Feature]) -> Iterator[str]:
    chunked = any(row.name == "ChunkSelector" for row in rows)
    by_category = sorted(rows, key=lambda row: row.category)
    for category, members in groupby(by_category, key=lambda row: row.category):
        names = [row.name for row in members]
        if category == "TransportLayerControl":
            names += ["GevSCPSPacketSize", "GevSCPSDoNotFragment", "GevSCPSFireTestPacket", "GevSCPD"]
            names.append("GevTimestampTickFrequency")
        if chunked and category == "ChunkDataControl":
            names += [f"Chunk{chunk}" for chunk in CHUNKS]
        features = "".join(f"<pFeature>{name}</pFeature>" for name in names)
        yield f'<Category Name="{category}" NameSpace="Standard">{features}</Category>'


def _node(row: Feature, selects: list[str]) -> str:
    selected = "".join(f"<pSelected>{name}</pSelected>" for name in selects)
    value = f"<pValue>{row.name}Register</pValue>"
    name = f'Name="{row.name}" NameSpace="{"Custom" if row.name.startswith("HDR") else "Standard"}"'
    unit = f"<Unit>{row.unit}</Unit>" if row.unit else ""
    if row.kind == "integer":
        limits = f"<Min>{int(row.low)}</Min><Max>{int(row.high)}</Max><Inc>{row.step}</Inc>{unit}"
        node = f"<Integer {name}>{value}{limits}{selected}</Integer>"
    elif row.kind == "float":
        node = f"<Float {name}>{value}<Min>{row.low}</Min><Max>{row.high}</Max>{unit}</Float>"
    elif row.kind == "boolean":
        node = f"<Boolean {name}>{value}<OnValue>1</OnValue><OffValue>0</OffValue></Boolean>"
    elif row.kind == "command":
        node = f"<Command {name}>{value}<CommandValue>1</CommandValue></Command>"
    else:
        entries = "".join(
            f'<EnumEntry Name="{entry}" NameSpace="Standard"><Value>{code}</Value></EnumEntry>'
            for entry, code in row.entries.items()
        )
        node = f"<Enumeration {name}>{entries}{value}{selected}</Enumeration>"
    return node + _register(row)


def _register(row: Feature) -> str:
    kind = "FloatReg" if row.kind == "float" else "IntReg"
    index = f'<pIndex Offset="{row.size}">{row.selector}Register</pIndex>' if row.selector else ""
    access = "RW" if row.writable else "RO"
    sign = "" if row.kind == "float" else "<Sign>Unsigned</Sign>"
    return (
        f'<{kind} Name="{row.name}Register"><Address>{row.address:#x}</Address>{index}'
        f"<Length>{row.size}</Length><AccessMode>{access}</AccessMode><pPort>Device</pPort>"
        f"<Cachable>NoCache</Cachable>{sign}<Endianess>BigEndian</Endianess></{kind}>"
    )


def _chunk_nodes() -> Iterator[str]:
    for name, chunk_id in CHUNKS.items():
        whole = name == "Timestamp"
        node, register = ("Integer", "IntReg") if whole else ("Float", "FloatReg")
        sign = "<Sign>Unsigned</Sign>" if whole else ""
        yield (
            f'<{node} Name="Chunk{name}" NameSpace="Standard"><pValue>Chunk{name}Register</pValue></{node}>'
            f'<{register} Name="Chunk{name}Register"><Address>0x0</Address><Length>8</Length>'
            f"<AccessMode>RO</AccessMode><pPort>Chunk{name}Port</pPort><Cachable>NoCache</Cachable>{sign}"
            f"<Endianess>BigEndian</Endianess></{register}>"
            f'<Port Name="Chunk{name}Port" NameSpace="Standard"><ChunkID>{chunk_id:X}</ChunkID></Port>'
        )
