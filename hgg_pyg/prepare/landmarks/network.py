"""One `.tflite` network, run on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hgg_pyg.io.extras import import_extra
from hgg_pyg.types import UserError


class Network:
    """A network with one image in and several tensors out.

    Args:
        path: the `.tflite` file.
        threads: how many it may use.

    Raises:
        UserError: LiteRT is not installed, or the file is no network.
    """

    def __init__(self, path: Path, threads: int) -> None:
        litert = import_extra("ai_edge_litert.interpreter", "prepare", "landmarks", "ai-edge-litert")
        try:
            self._interpreter = litert.Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{path}: expected a TensorFlow Lite network, found: {str(error).splitlines()[0]}"
            ) from None
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """The tensors, without their leading 1, for an image [S, S, 3] float32."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(image[None]))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]
