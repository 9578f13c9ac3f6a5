"""Any ONNX file as a row: one of ours through the device's engine, others as a file beside them says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engines import EngineError, mean_gamma
from edge.engines.onnx import OnnxEngine
from edge.errors import first_line
from edge.frames import FloatImage
from edge.judge.quality import MU
from export.compare.contract import Contract, Kind, contract_file, read_contract
from export.compare.merges import OnReference, aligned
from export.compare.row import Method, Row
from export.training.brackets import GAMMA, Sample

SLOTS = {"low": 0, "reference": 1, "high": 2}


def onnx_row(path: Path, on_reference: OnReference, threads: int = 0) -> Row:
    """``path`` as a row of its own name. ``threads`` 0: one per core. Raises EngineError."""
    if not path.is_file():
        raise EngineError(f"{path}: no such ONNX file")
    beside = contract_file(path)
    if beside is None and not _is_ours(path):
        raise EngineError(
            f"{path}: not a twinhdr model, and no {path.stem}.yaml beside it says how it takes its inputs; "
            "write one as docs/evaluation.md describes"
        )
    if beside is None:
        return Row(path.stem, aligned(_ours(OnnxEngine(path, threads)), on_reference))
    contract = read_contract(beside)
    method = _Foreign(path, contract, threads)
    return Row(path.stem, aligned(method, on_reference) if contract.align else method)


def _is_ours(path: Path) -> bool:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # noqa: BLE001  protobuf raises what it likes
        raise EngineError(
            f"{path}: not a readable ONNX file ({type(error).__name__}); export it again"
        ) from None
    return any(entry.key == "twinhdr.contract" for entry in model.metadata_props)


def _ours(engine: OnnxEngine) -> Method:
    def fuse(sample: Sample) -> FloatImage:
        low, unit, high = (float(e) for e in sample.exposure)
        mean = mean_gamma(sample.reference)
        radiance = engine.fuse(
            engine.encode_pair(sample.low, sample.high, (low, unit, high), mean), sample.reference
        )
        scaled: FloatImage = radiance * sample.exposure[0]
        return scaled

    return fuse


class _Foreign:
    """A network that is not ours, behind its contract."""

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        import onnxruntime as ort

        self._path, self._contract = path, contract
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(f"{path}: ONNX Runtime refuses it ({first_line(error)})") from error
        self._output = self._checked_output()

    def _checked_output(self) -> str:
        wanted = {entry.name for entry in self._session.get_inputs()}
        outputs = [entry.name for entry in self._session.get_outputs()]
        if wanted != set(self._contract.inputs):
            raise EngineError(
                f"{self._path}: its inputs are {', '.join(sorted(wanted))}, the file beside it names "
                f"{', '.join(sorted(self._contract.inputs))}"
            )
        stated = self._contract.output
        if stated in outputs:
            return str(stated)
        if stated is None and len(outputs) == 1:
            return str(outputs[0])
        raise EngineError(
            f"{self._path}: its outputs are {', '.join(outputs)}; name the fused picture with `output` in "
            "the file beside it"
        )

    def __call__(self, sample: Sample) -> FloatImage:
        """Radiance on the low exposure's scale. Raises EngineError where the network fails."""
        exposure = sample.exposure
        unit = float(exposure[SLOTS[self._contract.unit]])
        images = (sample.low, sample.reference, sample.high)
        given = [self._given(image, unit / float(e)) for image, e in zip(images, exposure, strict=True)]
        feed = {}
        for name, slots in self._contract.inputs.items():
            several = [slots] if isinstance(slots, str) else slots
            feed[name] = np.concatenate([given[SLOTS[slot]] for slot in several], axis=1)
        try:
            (answer,) = self._session.run([self._output], feed)
        except Exception as error:
            raise EngineError(f"{self._path}: fails while it runs ({first_line(error)})") from error
        return self._taken(np.asarray(answer, np.float32), sample, float(exposure[0]) / unit)

    def _given(self, image: FloatImage, to_radiance: float) -> NDArray[np.float32]:
        """(1, 3 * kinds, H', W') of one exposure, mirrored at the right and the bottom."""
        kinds: dict[Kind, FloatImage] = {
            "ldr": np.power(image, np.float32(1 / GAMMA)),
            "linear": image,
            "hdr": image * np.float32(to_radiance),
        }
        stack = np.concatenate([kinds[kind] for kind in self._contract.channels], axis=2)
        planes = stack.transpose(2, 0, 1)
        below, right = (-side % self._contract.multiple for side in image.shape[:2])
        grown: NDArray[np.float32] = np.pad(planes, ((0, 0), (0, below), (0, right)), mode="symmetric")
        return grown[None]

    def _taken(self, answer: NDArray[np.float32], sample: Sample, to_low: float) -> FloatImage:
        height, width = sample.reference.shape[:2]
        if (
            answer.ndim != 4
            or answer.shape[:2] != (1, 3)
            or min(answer.shape[2] - height, answer.shape[3] - width) < 0
        ):
            raise EngineError(
                f"{self._path}: answers {answer.shape} to pictures of {height} x {width}, not (1, 3, H, W)"
            )
        picture = answer[0, :, :height, :width].transpose(1, 2, 0)
        if not np.isfinite(picture).all():
            raise EngineError(f"{self._path}: answers with values that are no picture (NaN or infinite)")
        if self._contract.domain == "mu":
            picture = np.expm1(np.clip(picture, 0.0, 1.0) * np.float32(np.log1p(MU))) / np.float32(MU)
        return np.ascontiguousarray(picture * np.float32(to_low))
