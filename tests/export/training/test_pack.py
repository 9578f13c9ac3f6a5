"""A packed pool is the pool, in a file that travels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from export.cli import app
from export.training.pack import compand, decode, encode, expand, mu_law, pack, unpack


def test_companding_rounds_below_what_is_judged() -> None:
    """Training on rounded pictures must not limit what PSNR-mu can tell: 60 dB, also for the darkest."""
    values = np.concatenate([np.linspace(0, 1, 10001), np.geomspace(1e-6, 1, 10001)]).astype(np.float32)
    difference = mu_law(expand(compand(values))) - mu_law(values)
    assert -10 * np.log10(np.mean(np.square(difference))) > 60
    assert np.array_equal(expand(compand(np.array([0, 1], np.float32))), np.array([0, 1], np.float32))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 16]), st.sampled_from([1, 9, 12]))
def test_codes_come_back_to_the_bit(seed: int, side: int, bits: int) -> None:
    """One wrong difference would shift the rest of its row."""
    codes = np.random.default_rng(seed).integers(0, 2**bits, (12, side, side)).astype(np.uint16)
    assert np.array_equal(decode(encode(codes), (12, side, side)), codes)


def test_tiles_come_back_with_their_exposures(pool: Path, tmp_path: Path) -> None:
    """A tile beside another's exposures teaches a wrong scale."""
    summary = pack(pool, tmp_path / "p.npz", megabytes=5, crop=48)
    packed = unpack(tmp_path / "p.npz")
    tiles, facts = np.load(pool / "00000.npy"), np.load(pool / "00000.npz")
    assert summary.tiles == len(packed.pixels) == len(tiles)
    assert summary.psnr_mu > 60
    for pixels, exposure, mean in zip(packed.pixels, packed.exposure, packed.mean, strict=True):
        distances = [np.abs(pixels - tile).max() for tile in tiles.astype(np.float32)]
        nearest = int(np.argmin(distances))
        assert distances[nearest] < 0.02
        assert np.array_equal(mean, facts["mean"][nearest])
        assert np.array_equal(exposure, facts["exposure"][nearest])


def test_a_pack_is_as_large_as_it_may_be_and_takes_from_every_shard(pool: Path, tmp_path: Path) -> None:
    """The file has to pass a limit; the first shards alone would be the first images alone."""
    rng = np.random.default_rng(1)
    for number in (1, 2):
        noise = rng.uniform(0, 1, (6, 12, 48, 48)).astype(np.float16)
        np.save(pool / f"0000{number}.npy", noise)
        facts = np.load(pool / "00000.npz")
        np.savez(pool / f"0000{number}.npz", exposure=facts["exposure"], mean=facts["mean"] + number)
    summary = pack(pool, tmp_path / "p.npz", megabytes=0.15, crop=32)
    assert 0.1 < summary.megabytes < 0.15
    assert summary.tiles < 18
    kinds = {int(m) for m in unpack(tmp_path / "p.npz").mean[:, 0]}
    assert kinds == {0, 1, 2}


def test_what_cannot_be_packed_or_read_is_named(pool: Path, tmp_path: Path) -> None:
    """One line says what to do."""
    with pytest.raises(FileNotFoundError, match="render"):
        pack(tmp_path, tmp_path / "p.npz", 1)
    with pytest.raises(ValueError, match="48 wide, less than --crop 64"):
        pack(pool, tmp_path / "p.npz", 1, crop=64)
    with pytest.raises(ValueError, match="more --megabytes"):
        pack(pool, tmp_path / "p.npz", 1e-4, crop=32)
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "nothing.npz")
    with pytest.raises(ValueError, match=r"00000\.npz: not a packed pool"):
        unpack(pool / "00000.npz")


def test_the_command_says_what_it_has_packed(pool: Path, tmp_path: Path) -> None:
    """The figure of the rounding is what tells whether the pack is good enough."""
    out = tmp_path / "p.npz"
    result = CliRunner().invoke(app, ["pack", "--pool", str(pool), "--out", str(out), "--crop", "32"])
    assert result.exit_code == 0, result.output
    assert "6 tiles of 32x32 from 1 shards" in result.output.replace("\n", " ")
    result = CliRunner().invoke(app, ["pack", "--pool", str(pool), "--out", str(out), "--crop", "99"])
    assert result.exit_code == 1
    assert "--crop 99" in result.output
