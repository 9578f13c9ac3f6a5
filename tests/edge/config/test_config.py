"""What a field engineer writes is what runs, and every mistake is named where it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from edge.config.layers import DEFAULTS, NAME_OR_PATH_KEYS, PATH_KEYS, load, load_config
from edge.config.schema import Config
from edge.errors import ConfigError, Fault
from edge.frames import Exposure, Rung

Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the main file; its folder has no conf.d unless the test makes one."""

    def write(text: str | bytes, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def faults_of(path: Path | None = None, **kwargs: Path) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load(path, **kwargs)
    return list(caught.value.faults)


def only_fault(path: Path) -> Fault:
    faults = faults_of(path)
    assert len(faults) == 1, "\n".join(map(str, faults))
    return faults[0]


def model_keys(model: type[BaseModel], prefix: str = "") -> dict[str, object]:
    """Every leaf of the schema with its type."""
    keys: dict[str, object] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys |= model_keys(inner, f"{prefix}{name}.")
        else:
            keys[prefix + name] = inner
    return keys


class TestDefaults:
    def test_the_shipped_defaults_are_complete_and_valid(self, tmp_path: Path) -> None:
        """A device without any configuration file would not start."""
        loaded = load(main_file=tmp_path / "none.yaml")
        assert set(loaded.values) == set(model_keys(Config))
        assert all(origin.is_default for origin in loaded.origins.values())

    def test_defaults_live_in_the_file_alone(self) -> None:
        """A second default in the schema would drift from the documented one without anybody noticing."""

        def check(model: type[BaseModel]) -> None:
            for name, field in model.model_fields.items():
                assert field.is_required(), f"{model.__name__}.{name} has a default of its own"
                if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                    check(field.annotation)

        check(Config)

    def test_every_key_is_explained(self) -> None:
        """Someone in the field reads this file alone: a key without its unit or range is a guess."""
        unexplained = [
            line
            for line in DEFAULTS.read_text().splitlines()
            if line.strip() and not line.strip().startswith("#") and "#" not in line
        ]
        assert {line.strip().split(":")[0] for line in unexplained} <= {
            # sections and keys whose line above or name says it all
            *("rig", "trigger", "calibration", "develop", "pair", "fuse", "web", "store", "log"),
            *("height", "enabled"),
        }

    def test_what_the_daemon_reads_has_the_units_its_name_says(self, write: Write) -> None:
        """Exposures off by the gain would be fused with the wrong ratio: visible bands at every highlight."""
        rig = load_config(write("rig: {secondary: {gain_db: 6.0206}}")).rig
        assert rig.reference.exposure == Exposure(8000.0, 0.0)
        assert rig.low.exposure_us == pytest.approx(1000.0, rel=1e-4)
        assert rig.high.exposure_us == pytest.approx(16000.0, rel=1e-4)
        assert rig.high.ev_from(rig.reference.exposure) == pytest.approx(2.0)
        assert rig.low.ev_from(rig.reference.exposure) == pytest.approx(-2.0)

    def test_rungs_are_the_ladders(self, write: Write) -> None:
        """A rung that was forbidden would still be used."""
        config = load_config(write("fuse: {ladder: [model, merge, reference]}"))
        assert config.fuse.rungs == (Rung.MODEL, Rung.MERGE, Rung.REFERENCE)

    def test_a_configuration_cannot_be_changed_behind_a_stages_back(self, tmp_path: Path) -> None:
        """Two threads would see two configurations."""
        config = load_config(main_file=tmp_path / "none.yaml")
        with pytest.raises(ValueError, match="frozen"):
            config.rig.width = 640  # type: ignore[misc]

    def test_the_loader_knows_which_keys_are_paths(self) -> None:
        """A relative path of a new key would start at the daemon's working folder instead of the file's."""
        paths = {key for key, annotation in model_keys(Config).items() if "Path" in str(annotation)}
        assert paths == PATH_KEYS
        assert set(model_keys(Config)) >= NAME_OR_PATH_KEYS


class TestLayers:
    def test_later_layers_win_key_by_key_and_each_value_knows_its_line(
        self, write: Write, tmp_path: Path
    ) -> None:
        """An engineer looking for the line that set a value would search every file."""
        main = write("rig:\n  width: 640\n  height: 480\n")
        write("rig:\n\n  width: 1280\n", "conf.d/20-lab.yaml")
        write("rig: {width: 1024, reference: {fps: 25}}\n", "conf.d/10-site.yaml")
        write("rig: {width: 9}", "conf.d/30-ignored.yaml~")
        loaded = load(main)
        assert (loaded.config.rig.width, loaded.config.rig.height) == (1280, 480)
        assert loaded.config.rig.reference.fps == 25
        assert loaded.config.rig.secondary.fps == 15
        origins = {key: (Path(o.file).name, o.line) for key, o in loaded.origins.items()}
        assert origins["rig.width"] == ("20-lab.yaml", 3)
        assert origins["rig.height"] == ("config.yaml", 3)
        assert origins["rig.reference.fps"] == ("10-site.yaml", 1)
        assert origins["rig.secondary.fps"][0] == "defaults.yaml"
        assert [Path(file).name for file in loaded.files] == [
            *("defaults.yaml", "config.yaml", "10-site.yaml", "20-lab.yaml")
        ]

    def test_the_system_file_is_optional_and_a_named_file_is_not(self, write: Write, tmp_path: Path) -> None:
        """A typing error after --config would silently record with the defaults."""
        main = write("rig: {width: 640}")
        assert load_config(main_file=main).rig.width == 640
        assert load_config(main_file=tmp_path / "absent" / "config.yaml").rig.width == 960
        assert "No such file" in str(only_fault(tmp_path / "absent.yaml"))

    def test_a_named_file_replaces_the_system_file_and_its_conf_d(self, write: Write, tmp_path: Path) -> None:
        """A demo on a configured device would pick up the device's drop-ins."""
        system = write("rig: {width: 640}", "etc/config.yaml")
        (tmp_path / "etc/conf.d").mkdir()
        write("rig: {height: 480}", "etc/conf.d/10.yaml")
        mine = write("log: {level: debug}", "mine.yaml")
        config = load_config(mine, main_file=system)
        assert (config.rig.width, config.rig.height, config.log.level) == (960, 540, "debug")

    def test_a_section_with_all_keys_commented_out_changes_nothing(self, write: Write) -> None:
        """The usual way of editing a copy of the defaults would end in an error."""
        assert load_config(write("rig:\n#  width: 640\nlog:\n  level: debug\n")).rig.width == 960

    def test_a_copy_of_the_defaults_is_a_valid_file(self, write: Write) -> None:
        """The documented first step would fail."""
        assert load(write(DEFAULTS.read_text())).values == load(write("# nothing")).values

    def test_relative_paths_start_at_their_own_file(self, write: Write, tmp_path: Path) -> None:
        """The daemon, started elsewhere by systemd, would look in the wrong place."""
        main = write("store: {root: recordings}\nfuse: {model: nets/a.onnx}\nsimulator: {scene: ../s.exr}")
        write("calibration: {file: rig.yaml}", "conf.d/10.yaml")
        config = load_config(main)
        assert config.store.root == tmp_path / "recordings"
        assert config.fuse.model == str(tmp_path / "nets/a.onnx")
        assert config.simulator.scene == str(tmp_path.parent / "s.exr")
        assert config.calibration.file == tmp_path / "conf.d/rig.yaml"
        assert load_config(write("fuse: {model: m}")).fuse.model == "m"


class TestFaults:
    def test_every_fault_of_every_file_is_reported_at_once_in_order(self, write: Write) -> None:
        """One error per attempt means one reboot per mistake on a device in the field."""
        main = write("rig:\n  widht: 640\n  height: 481\nlog: {level: loud}\n")
        write("web:\n  port: eighty\n", "conf.d/10.yaml")
        write("web: [\n", "conf.d/20.yaml")
        write("preview: {quality: 0}\n", "conf.d/30.yaml")
        where = [(Path(f.file).name, f.line, f.key) for f in faults_of(main)]
        assert where == [
            ("config.yaml", 2, "rig.widht"),
            ("config.yaml", 3, "rig.height"),
            ("config.yaml", 4, "log.level"),
            ("10.yaml", 2, "web.port"),
            ("20.yaml", 2, ""),
            ("30.yaml", 1, "preview.quality"),
        ]

    def test_a_bad_value_is_reported_even_where_a_later_file_corrects_it(self, write: Write) -> None:
        """Deleting the drop-in would stop the device with an error nobody had seen."""
        main = write("rig: {width: wide}")
        write("rig: {width: 640}", "conf.d/10.yaml")
        assert only_fault(main).key == "rig.width"

    @pytest.mark.parametrize(
        ("text", "line", "expected"),
        [
            ("rig:\n  width: 961", 2, ["got 961", "an even number from 64 to 8192", "pixels", "960"]),
            ("rig:\n  widht: 9", 2, ["unknown key", "did you mean width?"]),
            ("exposure_us: 9", 1, ["unknown key", "did you mean rig.reference.exposure_us?"]),
            ("rig.width: 640", 1, ["unknown key", "indent width below rig"]),
            ("zzz: 9", 1, ["unknown key", "expected one of version, rig"]),
            ("rig: {reference: {exposure_us: 8ms}}", 1, ['got "8ms"', "microseconds", "write 8000,"]),
            ("pair: {wait_ms: 0.1 s}", 1, ["milliseconds", "write 100,"]),
            ("rig: {reference: {fps: 30fps}}", 1, ["frames per second", "write 30,"]),
            ("hdr: {sync_s: 5 parsecs}", 1, ["seconds", "default, 1.0"]),
            ('rig: {reference: {fps: "30"}}', 1, ["write 30 without quotes"]),
            ("rig: {reference: {exposure_us: 5}}", 1, ["from 10 to 1000000"]),
            ("hdr: {enabled: yes}", 1, ['got "yes"', "true or false", "write true"]),
            ("web: {enabled: 1}", 1, ["got 1", "true or false"]),
            ("web: {port: true}", 1, ["got true", "a whole number from 0 to 65535"]),
            ("web: {port: 8080.5}", 1, ["got 8080.5", "whole number"]),
            ("web: {port: 1:30}", 1, ['got "1:30"', "whole number"]),
            ("web: {port: 99999999999999999999999}", 1, ["whole number from 0"]),
            ("web: {port: }", 1, ["got nothing (null)", "whole number"]),
            ("hdr: {crf: .nan}", 1, ["got NaN", "a number from 0 to 63"]),
            ("hdr: {crf: 1e400}", 1, ["got Infinity"]),
            ("hdr: {codec: h264}", 1, ['got "h264"', "one of hevc, av1"]),
            ("rig: {bit_depth: 16}", 1, ["one of 8, 10, 12"]),
            ("simulator: {pace: fast}", 1, ["above 0", "auto, max"]),
            ("web: 8080", 1, ["got 8080", "a section with the keys enabled, host, port"]),
            ("web:\n- 1", 1, ["got [1]", "a section with the keys"]),
            ("web: {port: {a: 1}}", 1, ["got a section", "whole number"]),
            ("develop: {white_balance: [1, 2]}", 1, ["got [1, 2]", "a list of 3, each a number above 0"]),
            ("develop:\n  white_balance:\n  - 1\n  - 2\n  - x\n", 5, ['got "x"', "above 0 to 16"]),
            ("develop: {colour_matrix: 1}", 1, ["a list of 3, each a list of 3", "or null"]),
            ("fuse: {ladder: [model, modell]}", 1, ["one of model, small_model, merge, reference"]),
            ("store: {root: 5}", 1, ["a path"]),
            ("store: {root: ''}", 1, ["a path"]),
            ("store: {root: ~/sessions}", 1, ["~ is not expanded"]),
            ("version: 2", 1, ["got 2", "expected 1"]),
            ("a:\n  b: 1\nlog: {level: info}\nlog: {level: debug}", 4, ["already set at line 3"]),
            ("? [a]\n: 1", 1, ["a key must be a plain word"]),
        ],
    )
    def test_a_fault_names_line_value_range_unit_and_remedy(
        self, write: Write, text: str, line: int, expected: list[str]
    ) -> None:
        """The reader would have to open the documentation, or the source, to repair one line."""
        fault = next(f for f in faults_of(write(text)) if f.line == line)
        for part in expected:
            assert part in str(fault), str(fault)
        assert "\n" not in str(fault)

    @pytest.mark.parametrize(
        ("text", "line", "key", "expected"),
        [
            ("rig:\n  reference:\n    exposure_us: 40000\n  secondary: {high_ev: 0.5}", 3,
             "rig.reference.exposure_us", "33333 us at 30 fps"),
            ("rig:\n  secondary:\n    high_ev: 4", 3, "rig.secondary.high_ev", "66667 us at 15 fps"),
            ("rig:\n  reference:\n    exposure_us: 20000", 3, "rig.reference.exposure_us", "not 80000 us"),
            ("rig:\n  secondary: {fps: 60}", 2, "rig.secondary.fps", "high exposure of at most"),
            ("rig: {secondary: {low_ev: -8, gain_db: 24}}", 1, "rig.secondary.low_ev", "at least 10 us"),
            ("rig: {source: replay}", 1, "rig.source", "replay.session"),
            ("fuse: {ladder: [reference, model]}", 1, "fuse.ladder", "in the order"),
            ("fuse: {ladder: [model, merge]}", 1, "fuse.ladder", "ending with reference"),
            ("fuse: {ladder: [merge, merge, reference]}", 1, "fuse.ladder", "at most once"),
            ("hdr: {preset: 12}", 1, "hdr.preset", "ultrafast"),
            ("hdr:\n  codec: av1", 2, "hdr.codec", "from 0 to 13"),
            ("hdr: {crf: 60}", 1, "hdr.crf", "0 to 51"),
            ("hdr: {reference_white_nits: 2000}", 1, "hdr.reference_white_nits", "peak_nits (1000)"),
        ],
    )  # fmt: skip
    def test_contradictions_point_at_the_line_a_person_wrote(
        self, write: Write, text: str, line: int, key: str, expected: str
    ) -> None:
        """Keys that are right alone and wrong together would fail inside an encoder or a camera."""
        fault = only_fault(write(text))
        assert (fault.line, fault.key) == (line, key)
        assert expected in fault.problem

    def test_av1_with_its_presets_is_accepted(self, write: Write) -> None:
        """The second codec could not be configured at all."""
        assert load_config(write("hdr: {codec: av1, preset: 12, crf: 60}")).hdr.preset == 12


class TestUnreadableFiles:
    @pytest.mark.parametrize(
        ("content", "line", "expected"),
        [
            (b"", None, "the file is empty"),
            (b" \n\n", None, "the file is empty"),
            (b"rig:\n  width: 9\xff\n", 2, "byte 0xff is not UTF-8"),
            ("rig: {}".encode("utf-16"), 1, "not UTF-8"),
            (b"rig:\n  width: 640\n\theight: 480\n", 3, "tab character"),
            (b"rig:\n\twidth: 640\n", 2, "tab character"),
            (b"rig:\n  width: 640\n   height: 480\n", 3, "not valid YAML"),
            (b"log: {level: 'info}\n", 2, "not valid YAML"),
            (b"log: \x07\n", 1, "U+0007"),
            (b"- rig\n", 1, "expected sections"),
            (b"rig\n", 1, "expected sections"),
            (b"a: &x [1]\nb: *x\n", 1, "anchors and aliases"),
            (b"a: 1\nb: *x\n", 2, "anchors and aliases"),
            (b"a: !!python/object/apply:os.system [ls]\n", 1, "the tag"),
            (b"log: {}\n---\nlog: {}\n", 2, "second YAML document"),
            (b"a: " + b"[" * 20_000, 1, "nested deeper"),
            (b"a: [" + b"1," * 20_000 + b"1]", 1, "more than 10000 values"),
            (b"# " + b"x" * 300_000, None, "larger than 256 KiB"),
        ],
    )
    def test_a_file_that_is_no_configuration_is_one_clear_fault(
        self, write: Write, content: bytes, line: int | None, expected: str
    ) -> None:
        """A half-written or foreign file would end in a traceback, an endless load or a full memory."""
        fault = only_fault(write(content))
        assert fault.line == line
        assert expected in fault.problem

    def test_a_byte_order_mark_is_harmless(self, write: Write) -> None:
        """A file saved on Windows would be refused for an invisible character."""
        assert load_config(write(b"\xef\xbb\xbflog: {level: debug}")).log.level == "debug"

    def test_a_folder_or_an_unreadable_file_is_named(self, tmp_path: Path) -> None:
        """The daemon would end with a traceback in the journal."""
        assert "name a file inside it" in str(only_fault(tmp_path))
        (tmp_path / "loop.yaml").symlink_to("loop.yaml")
        assert str(only_fault(tmp_path / "loop.yaml")).startswith(f"{tmp_path / 'loop.yaml'}: ")

    def test_a_system_file_that_cannot_be_read_is_not_taken_for_absent(self, tmp_path: Path) -> None:
        """A device would record with the defaults although somebody configured it."""
        main = tmp_path / "config.yaml"
        main.symlink_to("gone.yaml")
        assert faults_of(main_file=main)


KEYS = sorted(
    {*model_keys(Config), "rig", "rig.reference", "simulator.faults", "nonsense", "rig.wdith", "<<", ""}
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
    | st.sampled_from(["8ms", "auto", "model", "~", "./x", "1e3", "s"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def nested(pairs: list[tuple[str, object]]) -> dict:
    tree: dict = {}
    for key, value in pairs:
        here = tree
        *sections, last = key.split(".")
        for section in sections:
            below = here.get(section)
            here[section] = here = below if isinstance(below, dict) else {}
        here[last] = value
    return tree


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=5))
def test_any_value_at_any_key_is_accepted_or_explained(
    tmp_path: Path, pairs: list[tuple[str, object]]
) -> None:
    """Some value nobody thought of would crash the daemon with a traceback."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(nested(pairs)) + "\n", encoding="utf-8", errors="surrogatepass")
    accepted_or_explained(path)


def test_a_key_with_a_line_break_is_one_fault_in_one_line(tmp_path: Path) -> None:
    """The page and the journal show a fault as a line."""
    path = tmp_path / "config.yaml"
    path.write_text('version: 1\n"a\\nb": 1\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [str(fault).count("\n") for fault in caught.value.faults] == [0]
    assert "a\\nb: unknown key" in str(caught.value)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 6000),
    junk=st.binary(max_size=12)
    | st.sampled_from([b"\t", b"&a ", b"*a", b"!!x ", b"{", b"\n- ", b"? ", b": "]),
)
def test_a_damaged_file_is_accepted_or_explained(tmp_path: Path, cut: int, junk: bytes) -> None:
    """A torn or mistyped file would crash the daemon with a traceback."""
    data = DEFAULTS.read_bytes()
    path = tmp_path / "config.yaml"
    path.write_bytes(data[:cut] + junk + data[cut + len(junk) :])
    accepted_or_explained(path)


def accepted_or_explained(path: Path) -> None:
    faults: tuple[Fault, ...] = ()
    try:
        load(path)
    except ConfigError as error:
        faults = error.faults or (Fault("", 0, "", "an error without a fault"),)
    for fault in faults:
        assert "\n" not in str(fault)
        assert fault.line is None or fault.line >= 1
        assert len(str(fault)) < 600 + len(str(path))
