"""The compiled models of this thread, by shape; CVXPY and HiGHS objects are never shared between threads."""

import threading
from collections import OrderedDict

from digital_twin.optimization.blocks import Shape, build
from digital_twin.optimization.compiled import CompiledModel

KEPT_SHAPES = 8
_local = threading.local()


def compiled_model(shape: Shape) -> CompiledModel:
    """The model of this shape, compiled unless it is one of the last ones asked for."""
    kept: OrderedDict[Shape, CompiledModel] | None = getattr(_local, "kept", None)
    if kept is None:
        kept = _local.kept = OrderedDict()
    if shape not in kept:
        kept[shape] = CompiledModel(build(shape))
        while len(kept) > KEPT_SHAPES:
            kept.popitem(last=False)
    kept.move_to_end(shape)
    return kept[shape]
