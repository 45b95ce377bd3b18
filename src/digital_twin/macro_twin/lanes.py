"""Eight numbers at once inside compiled functions: a kind of value that fills vector registers, and its arithmetic.

A compiler makes vectors of loops where it can prove that nothing overlaps, which it cannot for the short loops of a
filter. Here it is written down. Each lane is a number of its own that no other touches, so that its bits do not depend
on its neighbours; a product is added in one rounding. Arrays are one-dimensional, contiguous and of float64; places in
them are not checked. The instructions are LLVM's, for whatever width of vectors the machine has.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8

_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_NUMBER = 8
"""Bytes, to which arrays are aligned."""

Gen = Callable[[Any, Any, Any, Any], Any]
_intrinsic = cast(Any, intrinsic)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


_LANES = _LanesType()


def _address(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


def _constant(number: float) -> Any:
    return ir.Constant(_VECTOR, [number] * LANES)


def _with_product(builder: Any, sum_: Any, one: Any, other: Any) -> Any:
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fused = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{LANES}f64")
    return builder.call(fused, [one, other, sum_])


@_intrinsic
def load(_: Any, array: Any, place: Any) -> tuple[Any, Gen]:
    """array[place : place + LANES]"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *args), align=_NUMBER)

    return _LANES(array, types.intp), generate


@_intrinsic
def store(_: Any, array: Any, place: Any, lanes: Any) -> tuple[Any, Gen]:
    """array[place : place + LANES] = lanes"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=_NUMBER)
        return context.get_dummy_value()

    return types.void(array, types.intp, _LANES), generate


@_intrinsic
def every(_: Any, number: Any) -> tuple[Any, Gen]:
    """The same number in every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.insert_element(_constant(0.0), args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return _LANES(types.float64), generate


@_intrinsic
def times(_: Any, one: Any, other: Any) -> tuple[Any, Gen]:
    """one * other"""
    return _LANES(_LANES, _LANES), lambda context, builder, signature, args: builder.fmul(*args)


@_intrinsic
def over(_: Any, one: Any, other: Any) -> tuple[Any, Gen]:
    """one / other"""
    return _LANES(_LANES, _LANES), lambda context, builder, signature, args: builder.fdiv(*args)


@_intrinsic
def plus_product(_: Any, sum_: Any, one: Any, other: Any) -> tuple[Any, Gen]:
    """sum_ + one * other, rounded once"""
    return _LANES(_LANES, _LANES, _LANES), lambda context, builder, signature, args: _with_product(builder, *args)


@_intrinsic
def minus_product(_: Any, sum_: Any, one: Any, other: Any) -> tuple[Any, Gen]:
    """sum_ - one * other, rounded once"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _with_product(builder, args[0], builder.fneg(args[1]), args[2])

    return _LANES(_LANES, _LANES, _LANES), generate


@_intrinsic
def not_negative(_: Any, lanes: Any) -> tuple[Any, Gen]:
    """Each lane that is above 0, and 0 in the others."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], _constant(0.0)), args[0], _constant(0.0))

    return _LANES(_LANES), generate


@_intrinsic
def where_number(_: Any, tested: Any, lanes: Any) -> tuple[Any, Gen]:
    """Each lane where `tested` is not NaN, and 0 in the others."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("ord", args[0], args[0]), args[1], _constant(0.0))

    return _LANES(_LANES, _LANES), generate
