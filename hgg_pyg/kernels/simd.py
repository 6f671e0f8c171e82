"""Eight numbers at a time for numba kernels: a value type that LLVM keeps in vector registers on any processor.

Written so, a kernel says which numbers share a register and which sums run side by side; loops over arrays leave that
to the vectoriser, which gives up on short inner loops such as the channels of a head.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import math
import operator
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, overload, register_model

WIDTH = 8
intrinsic: Any = extending.intrinsic  # the calls of what it makes have one argument less than type checkers see


class Lanes(types.Type):
    """Floating point numbers, `WIDTH` of them if not told; a local variable of a kernel, never an argument or array."""

    def __init__(self, real: types.Float, width: int = WIDTH) -> None:
        self.real, self.width = real, width
        super().__init__(name=f"Lanes({real}, {width})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, _vector(fe_type))


def _vector(lanes: Lanes) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if lanes.real == types.float32 else ir.DoubleType(), lanes.width)


def _call(builder: Any, name: str, lanes: Lanes, *operands: Any) -> Any:
    """LLVM's function of lanes of that name."""
    vector = _vector(lanes)
    name = f"llvm.{name}.v{lanes.width}{'f32' if lanes.real == types.float32 else 'f64'}"
    signature = ir.FunctionType(vector, [vector] * len(operands))
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), operands)


def _pointer(context: Any, builder: Any, array_type: types.Array, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return cgutils.gep(builder, data, index)


def _spread(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def _load(array: Any, width: int) -> Any:
    """The signature and the code of `load`."""
    if array.dtype == types.uint16:
        result, stored = Lanes(types.float32, width), ir.VectorType(ir.IntType(16), width)
    else:
        result = Lanes(array.dtype, width)
        stored = _vector(result)

    def codegen(context, builder, signature, arguments):
        pointer = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), stored.as_pointer())
        found = builder.load(pointer, typ=stored, align=array.dtype.bitwidth // 8)
        if array.dtype != types.uint16:
            return found
        integers = ir.VectorType(ir.IntType(32), width)
        bits = builder.shl(builder.zext(found, integers), ir.Constant(integers, [16] * width))
        return builder.bitcast(bits, _vector(result))  # bfloat16 is the upper half of a float32

    return result(array, types.intp), codegen


@intrinsic
def load(typingctx, array, index):
    """Lanes array[index : index + WIDTH] of a contiguous 1-d array; of uint16, the bits of bfloat16, widened."""
    return _load(array, WIDTH)


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the memory around array[index] ahead of its use; an index outside does no harm."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), ir.IntType(8).as_pointer())
        integer = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, integer(0), integer(2), integer(1)])  # to read, into the second cache
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, lanes):
    """Write lanes to array[index:]."""

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        pointer = builder.bitcast(pointer, _vector(lanes).as_pointer())
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), codegen


@intrinsic
def scatter(typingctx, array, index, stride, lanes):
    """Write lane i to array[index + i * stride]."""

    def codegen(context, builder, signature, arguments):
        at = arguments[1]
        for i in range(WIDTH):
            lane = builder.extract_element(arguments[3], ir.IntType(32)(i))
            builder.store(lane, _pointer(context, builder, signature.args[0], arguments[0], at))
            at = builder.add(at, arguments[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), codegen


@intrinsic
def spread(typingctx, scalar):
    """Lanes that all hold one number."""
    result = Lanes(scalar)

    def codegen(context, builder, signature, arguments):
        return _spread(builder, arguments[0], _vector(result))

    return result(scalar), codegen


@intrinsic
def spread_at(typingctx, array, index):
    """Lanes that all hold array[index]; unlike indexing, it does not ask whether the index is negative."""
    result = Lanes(array.dtype)

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return _spread(builder, builder.load(pointer), _vector(result))

    return result(array, types.intp), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c, rounded once where the processor can."""

    def codegen(context, builder, signature, arguments):
        return _call(builder, "fmuladd", a, *arguments)

    return a(a, a, a), codegen


@intrinsic
def lane_sum(typingctx, lanes):
    """The sum of the lanes, in an order that depends on nothing."""

    def codegen(context, builder, signature, arguments):
        vector = _vector(lanes)
        name = f"llvm.vector.reduce.fadd.v{lanes.width}{'f32' if lanes.real == types.float32 else 'f64'}"
        signature_ir = ir.FunctionType(vector.element, [vector.element, vector])
        function = cgutils.get_or_insert_function(builder.module, signature_ir, name)
        return builder.call(function, [vector.element(-0.0), arguments[0]], fastmath=("reassoc",))

    return lanes.real(lanes), codegen


# Three rounds of adding pairs, each a choice of lanes of two registers that is one instruction on AVX.
_PAIRS = (
    ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)


@intrinsic
def lane_sums(typingctx, a, b, c, d, e, f, g, h):
    """Lanes of the sums of eight registers' lanes."""

    def codegen(context, builder, signature, arguments):
        masks = ir.VectorType(ir.IntType(32), WIDTH)
        registers = list(arguments)
        for chosen in _PAIRS:
            registers = [
                builder.fadd(*(builder.shuffle_vector(*pair, ir.Constant(masks, lanes)) for lanes in chosen))
                for pair in zip(registers[::2], registers[1::2], strict=True)
            ]
        return registers[0]

    return a(a, b, c, d, e, f, g, h), codegen


def _binary(instruction: str) -> Any:
    @intrinsic
    def apply(typingctx, a, b):
        def codegen(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments)

        return a(a, b), codegen

    def implement(a, b):
        return (lambda a, b: apply(a, b)) if isinstance(a, Lanes) and isinstance(b, Lanes) else None

    return implement


overload(operator.add)(_binary("fadd"))
overload(operator.sub)(_binary("fsub"))
overload(operator.mul)(_binary("fmul"))
overload(operator.truediv)(_binary("fdiv"))


@intrinsic
def where_above(typingctx, a, b, above, else_):
    """Lanes of `above` where a > b, of `else_` elsewhere."""

    def codegen(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments[:2]), *arguments[2:])

    return a(a, b, above, else_), codegen


@intrinsic
def maximum(typingctx, a, b):
    """The larger of each pair of numbers."""

    def codegen(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return a(a, a), codegen


# exp(x) = 2^n exp(r) with |r| <= ln(2) / 2: a polynomial (Cephes' coefficients) for exp(r), and ln(2) in two parts so
# that r keeps its low digits.
_EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_LOWEST = -87.0  # below it float32 has no normal exponential


@intrinsic
def exp_of_at_most_zero(typingctx, lanes):
    """exp(min(x, 0)); float32 to 2e-7 relative and never below exp(-87), float64 by the library."""

    def codegen(context, builder, signature, arguments):
        vector = _vector(lanes)

        def constant(value):
            return ir.Constant(vector, [value] * lanes.width)

        def call(name, *operands):
            return _call(builder, name, lanes, *operands)

        x = builder.select(builder.fcmp_ordered("<", arguments[0], constant(0.0)), arguments[0], constant(0.0))
        if lanes.real == types.float64:
            return call("exp", x)
        x = builder.select(builder.fcmp_ordered(">", x, constant(_LOWEST)), x, constant(_LOWEST))
        n = call("floor", call("fmuladd", x, constant(math.log2(math.e)), constant(0.5)))
        r = call("fmuladd", n, constant(-_LN2_HIGH), x)
        r = call("fmuladd", n, constant(-_LN2_LOW), r)
        p = constant(_EXP_TERMS[0])
        for term in _EXP_TERMS[1:]:
            p = call("fmuladd", p, r, constant(term))
        p = call("fmuladd", p, builder.fmul(r, r), builder.fadd(r, constant(1.0)))
        integers = ir.VectorType(ir.IntType(32), lanes.width)
        exponent = builder.add(builder.fptosi(n, integers), ir.Constant(integers, [127] * lanes.width))
        power = builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * lanes.width)), vector)
        return builder.fmul(p, power)

    return lanes(lanes), codegen


@intrinsic
def any_above(typingctx, a, b):
    """Whether a > b in any lane."""

    def codegen(context, builder, signature, arguments):
        lanes = builder.fcmp_ordered(">", *arguments)
        bits = builder.bitcast(lanes, ir.IntType(a.width))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return types.boolean(a, a), codegen


@intrinsic
def minus_abs(typingctx, a):
    """The lanes with a minus before each."""

    def codegen(context, builder, signature, arguments):
        bits = 32 if a.real == types.float32 else 64
        integers = ir.VectorType(ir.IntType(bits), a.width)
        sign = ir.Constant(integers, [1 << (bits - 1)] * a.width)
        return builder.bitcast(builder.or_(builder.bitcast(arguments[0], integers), sign), _vector(a))

    return a(a), codegen


# 2^x = 2^n 2^r with n the integer nearest to x: a polynomial for 2^r whose largest relative error is the least.
_POWER_TERMS = (1.535336194e-4, 1.339887444e-3, 9.618437358e-3, 5.550332471e-2, 2.4022647903e-1, 6.9314720286e-1, 1.0)
_LOWEST_POWER = -126.0  # below it float32 has no normal power of two


@intrinsic
def power_of_two(typingctx, lanes):
    """2^x for x <= 0, anything for others; float32 to 2e-7 relative, never below 2^-126; float64 by the library."""

    def codegen(context, builder, signature, arguments):
        vector = _vector(lanes)

        def constant(value):
            return ir.Constant(vector, [value] * lanes.width)

        x = arguments[0]
        if lanes.real == types.float64:
            return _call(builder, "exp2", lanes, x)
        x = builder.select(builder.fcmp_ordered(">", x, constant(_LOWEST_POWER)), x, constant(_LOWEST_POWER))
        n = _call(builder, "rint", lanes, x)
        r = builder.fsub(x, n)
        p = constant(_POWER_TERMS[0])
        for term in _POWER_TERMS[1:]:
            p = _call(builder, "fmuladd", lanes, p, r, constant(term))
        integers = ir.VectorType(ir.IntType(32), lanes.width)
        exponent = builder.shl(builder.fptosi(n, integers), ir.Constant(integers, [23] * lanes.width))
        return builder.bitcast(builder.add(builder.bitcast(p, integers), exponent), vector)

    return lanes(lanes), codegen


@intrinsic
def ascending(typingctx, first):
    """Lanes first, first + 1, first + 2, ..."""
    result = Lanes(first)

    def codegen(context, builder, signature, arguments):
        vector = _vector(result)
        steps = ir.Constant(vector, [float(i) for i in range(WIDTH)])
        return builder.fadd(_spread(builder, arguments[0], vector), steps)

    return result(first), codegen


@intrinsic
def bits_above(typingctx, a, b):
    """An integer whose bit i says whether a > b in lane i."""

    def codegen(context, builder, signature, arguments):
        lanes = builder.fcmp_ordered(">", *arguments)
        return builder.zext(builder.bitcast(lanes, ir.IntType(a.width)), ir.IntType(64))

    return types.intp(a, a), codegen


@intrinsic
def lowest_bit(typingctx, bits):
    """The number of the lowest bit that is set in an integer other than 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.intp(types.intp), codegen


@intrinsic
def square_root(typingctx, lanes):
    """Of each lane."""

    def codegen(context, builder, signature, arguments):
        return _call(builder, "sqrt", lanes, *arguments)

    return lanes(lanes), codegen
