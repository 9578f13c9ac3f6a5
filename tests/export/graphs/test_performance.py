"""The computed tables count what the network costs, and say nothing that cannot be computed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="export needs PyTorch: pip install twinhdr[export]")

from export.graphs.performance import BOARDS, DOCUMENT, Board, Work, inserted, seconds, work


def test_multiply_accumulates_are_those_of_the_network() -> None:
    """A part that is forgotten makes every board look faster."""
    pixels = 192 * 128
    found = work("s", (192, 128))
    kmac = sum(w.macs for w in found) / pixels / 1e3
    assert kmac == pytest.approx(35.9, rel=0.02)
    assert sum(w.macs for w in found if w.pair) / pixels / 1e3 == pytest.approx(11.2, rel=0.02)
    assert {w.part for w in found if w.macs > 1000} >= {"stems", "restoration", "head", "joining (eq. 9)"}


def test_an_operator_takes_the_longer_of_arithmetic_and_traffic() -> None:
    """Adding both, or taking the shorter, would be another machine."""
    board = Board("round", sms=1, flop_per_clock=1000, ghz=1.0, gb_per_s=1.0)  # 1 TFLOP/s, 1 GB/s
    arithmetic = Work("a", pair=False, macs=35 * 10**10, bytes=1)
    traffic = Work("b", pair=True, macs=1, bytes=6 * 10**8)
    assert seconds([arithmetic], board, 4) == pytest.approx(2.0)
    assert seconds([traffic], board, 4) == pytest.approx(0.25)
    assert seconds([arithmetic, traffic], board, 1) == pytest.approx(3.0)


def test_tables_go_where_the_document_wants_them() -> None:
    """A table that is nowhere, or everywhere, is not updated by its command."""
    text = "a\n<!-- computed:x -->\nold\n<!-- /computed:x -->\nb\n"
    assert inserted(text, {"x": "new"}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="no place for the table y"):
        inserted(text, {"y": "new"})
    document = Path(DOCUMENT).read_text()
    for board in BOARDS:
        assert f"| {board.name} | {board.tflops:.1f}, {board.gb_per_s:g} |" in document
