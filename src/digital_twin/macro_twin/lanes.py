"""Eight numbers at once inside compiled functions: a kind of value that fills vector registers, and its arithmetic.

A compiler makes vectors of loops where it can prove that nothing overlaps, and long ones of those only, which leaves
out the loops of a filter. Here it is written down, with the order of every sum, so that the same input gives the same
bits; a product is added in one rounding. Arrays are one-dimensional, contiguous and of float64; places in them are not
checked. The instructions are LLVM's, for whatever width of vectors the machine has.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from digital_twin.domain.units import Array

LANES = 8

_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_NUMBER_BYTES, _VECTOR_BYTES = 8, 8 * LANES

Generate = Callable[[Any, Any, Any, Any], Any]
_intrinsic = cast(Any, intrinsic)


def padded(size: int) -> int:
    """The size of the vectors that hold so many numbers."""
    return -(-size // LANES) * LANES


def aligned_zeros(size: int) -> Array:
    """An array that begins where a line of the cache does: a vector across two lines takes twice as long."""
    room = np.zeros(size + LANES)
    begin = -(room.ctypes.data // _NUMBER_BYTES) % LANES
    return room[begin : begin + size]


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


_LANES = _LanesType()


def _places(*places: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))


def _address(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def _vector_address(context: Any, builder: Any, *of: Any) -> Any:
    return builder.bitcast(_address(context, builder, *of), _VECTOR.as_pointer())


def _in_all(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_VECTOR, [0.0] * LANES)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, _places(*[0] * LANES))


def _with_product(builder: Any, sum_: Any, one: Any, other: Any) -> Any:
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fused = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{LANES}f64")
    return builder.call(fused, [one, other, sum_])


@_intrinsic
def load(_: Any, array: Any, place: Any) -> tuple[Any, Generate]:
    """array[place : place + LANES]"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_vector_address(context, builder, signature.args[0], *args), align=_NUMBER_BYTES)

    return _LANES(array, types.intp), generate


@_intrinsic
def store(_: Any, array: Any, place: Any, lanes: Any) -> tuple[Any, Generate]:
    """array[place : place + LANES] = lanes"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _vector_address(context, builder, signature.args[0], *args[:2]), align=_NUMBER_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, _LANES), generate


@_intrinsic
def every(_: Any, number: Any) -> tuple[Any, Generate]:
    """The same number in every lane."""
    return _LANES(types.float64), lambda context, builder, signature, args: _in_all(builder, args[0])


@_intrinsic
def load_every(_: Any, array: Any, place: Any) -> tuple[Any, Generate]:
    """every(array[place])"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _in_all(builder, builder.load(_address(context, builder, signature.args[0], *args)))

    return _LANES(array, types.intp), generate


@_intrinsic
def plus(_: Any, one: Any, other: Any) -> tuple[Any, Generate]:
    """one + other"""
    return _LANES(_LANES, _LANES), lambda context, builder, signature, args: builder.fadd(*args)


@_intrinsic
def times(_: Any, one: Any, other: Any) -> tuple[Any, Generate]:
    """one * other"""
    return _LANES(_LANES, _LANES), lambda context, builder, signature, args: builder.fmul(*args)


@_intrinsic
def plus_product(_: Any, sum_: Any, one: Any, other: Any) -> tuple[Any, Generate]:
    """sum_ + one * other, rounded once"""
    return _LANES(_LANES, _LANES, _LANES), lambda context, builder, signature, args: _with_product(builder, *args)


@_intrinsic
def minus_product(_: Any, sum_: Any, one: Any, other: Any) -> tuple[Any, Generate]:
    """sum_ - one * other, rounded once"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _with_product(builder, args[0], builder.fneg(args[1]), args[2])

    return _LANES(_LANES, _LANES, _LANES), generate


@_intrinsic
def total(_: Any, lanes: Any) -> tuple[Any, Generate]:
    """The sum of all lanes: of its halves, lane by lane, until one is left."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left, width = args[0], LANES
        while width > 1:
            width //= 2
            halves = [builder.shuffle_vector(left, left, _places(*range(at, at + width))) for at in (0, width)]
            left = builder.fadd(*halves)
        return builder.extract_element(left, ir.Constant(ir.IntType(32), 0))

    return types.float64(_LANES), generate
