"""Registers as wide as the processor has them: `WIDE` numbers, and blocks of several that are summed side by side.

`WIDE` is 16 where numba compiles for AVX-512, else `simd.WIDTH`, eight. Where lanes are eight lines, as those of
eight heads, a wide register holds `RUN` = WIDE / 8 successive columns of each: lane l * RUN + i is column c + i of line
l. Sums then come out in another order, so results differ between such processors in their last digits.
"""

# pyright: reportMissingParameterType=false
from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba import config, extending, types
from numba.core.codegen import get_host_cpu_features

from hgg_pyg.kernels.simd import WIDTH, Lanes, _call, _load, _pointer, _spread, _vector

intrinsic: Any = extending.intrinsic


def _has_wide_registers() -> bool:
    chosen: str | None = config.CPU_FEATURES  # pyright: ignore[reportAttributeAccessIssue]
    return "+avx512f" in (chosen if chosen is not None else get_host_cpu_features()).split(",")


WIDE: int = 16 if _has_wide_registers() else WIDTH
RUN: int = WIDE // WIDTH
BLOCK: int = 8
"""Sums side by side, twice as many where registers are wide: more have no room besides what is added to them."""


@intrinsic
def load_wide(typingctx, array, index):
    """Lanes array[index : index + WIDE]; see `simd.load`."""
    return _load(array, WIDE)


@intrinsic
def spread_wide(typingctx, scalar):
    """WIDE lanes that all hold one number."""
    result = Lanes(scalar, WIDE)

    def codegen(context, builder, signature, arguments):
        return _spread(builder, arguments[0], _vector(result))

    return result(scalar), codegen


def _run(context: Any, builder: Any, lanes: Lanes, array_type: types.Array, array: Any, index: Any, run: int) -> Any:
    """`run` successive numbers of an array, again and again."""
    few = _vector(Lanes(lanes.real, run))
    pointer = builder.bitcast(_pointer(context, builder, array_type, array, index), few.as_pointer())
    found = builder.load(pointer, typ=few, align=lanes.real.bitwidth // 8)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes.width), [i % run for i in range(lanes.width)])
    return builder.shuffle_vector(found, ir.Constant(few, ir.Undefined), mask)


@intrinsic
def places(typingctx, index, step):
    """The tuple index + i * step for i below BLOCK."""
    result = types.UniTuple(types.intp, BLOCK)

    def codegen(context, builder, signature, arguments):
        index, step = arguments
        out = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i in range(BLOCK):
            out = builder.insert_value(out, builder.add(index, builder.mul(step, ir.Constant(step.type, i))), i)
        return out

    return result(types.intp, types.intp), codegen


def _add_products(run: int) -> Any:
    def typed(typingctx, sums, array, places, offset, lanes):
        def codegen(context, builder, signature, arguments):
            out, data, begins, at, factor = arguments
            for i in range(BLOCK):
                place = builder.add(builder.extract_value(begins, i), at)
                spread = _run(context, builder, lanes, signature.args[1], data, place, run)
                added = _call(builder, "fmuladd", lanes, spread, factor, builder.extract_value(out, i))
                out = builder.insert_value(out, added, i)
            return out

        return sums(sums, array, places, types.intp, lanes), codegen

    return typed


add_products = intrinsic(_add_products(1))
"""add_products(sums, array, places, offset, lanes): each of BLOCK sums plus array[places[i] + offset] * lanes."""

add_run_products = intrinsic(_add_products(RUN))
"""As `add_products`, of lanes that are eight lines: factors are the RUN columns array[places[i] + offset :]."""


@intrinsic
def add_all(typingctx, a, b):
    """The sums of two tuples of lanes."""

    def codegen(context, builder, signature, arguments):
        out = arguments[0]
        for i in range(a.count):
            both = [builder.extract_value(x, i) for x in arguments]
            out = builder.insert_value(out, builder.fadd(*both), i)
        return out

    return a(a, b), codegen


@intrinsic
def load_all(typingctx, array, index, step):
    """A tuple of BLOCK times WIDE lanes, those at array[index + i * step]."""
    signature, load_one = _load(array, WIDE)
    result = types.UniTuple(signature.return_type, BLOCK)

    def codegen(context, builder, whole, arguments):
        data, at, stride = arguments
        out = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i in range(result.count):
            out = builder.insert_value(out, load_one(context, builder, signature, (data, at)), i)
            at = builder.add(at, stride)
        return out

    return result(array, types.intp, types.intp), codegen


@intrinsic
def store_all(typingctx, array, index, step, lanes):
    """Write each of a tuple of lanes to array[index + i * step :]."""

    def codegen(context, builder, signature, arguments):
        data, at, stride, tuple_ = arguments
        for i in range(lanes.count):
            pointer = _pointer(context, builder, signature.args[0], data, at)
            one = builder.extract_value(tuple_, i)
            builder.store(one, builder.bitcast(pointer, one.type.as_pointer()), align=array.dtype.bitwidth // 8)
            at = builder.add(at, stride)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), codegen


@intrinsic
def to_runs(typingctx, lines):
    """Eight lines' WIDE columns as lanes that are eight lines: register i of the result has columns RUN * i and on."""

    def codegen(context, builder, signature, arguments):
        registers = [builder.extract_value(arguments[0], i) for i in range(WIDTH)]
        for _ in range(3):  # interleave the lower and the upper halves of registers 0 and 4, 1 and 5, 2 and 6, 3 and 7
            registers = [
                _interleave(builder, registers[i], registers[i + 4], half) for i in range(4) for half in (0, WIDE // 2)
            ]
        out = ir.Constant(context.get_value_type(lines), ir.Undefined)
        for i, register in enumerate(registers):
            out = builder.insert_value(out, register, i)
        return out

    return lines(lines), codegen


def _interleave(builder: Any, a: Any, b: Any, begin: int) -> Any:
    """Runs of a and of b by turns, from `begin` on."""
    lanes = [begin + run * RUN + i + which * WIDE for run in range(WIDTH // 2) for which in (0, 1) for i in range(RUN)]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), WIDE), lanes))


@intrinsic
def zeros(typingctx, like):
    """A tuple of BLOCK times WIDE zeros of the type of a scalar."""
    result = types.UniTuple(Lanes(like, WIDE), BLOCK)

    def codegen(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(result), None)

    return result(like), codegen


@intrinsic
def sum_runs(typingctx, lanes):
    """For each of a tuple of lanes that are eight lines, WIDTH lanes: the sums of the RUN columns of each line."""
    result = types.UniTuple(Lanes(lanes.dtype.real), lanes.count)
    undefined = ir.Constant(_vector(lanes.dtype), ir.Undefined)
    masks = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), list(range(i, WIDE, RUN))) for i in range(RUN)]

    def codegen(context, builder, signature, arguments):
        out = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i in range(lanes.count):
            register = builder.extract_value(arguments[0], i)
            parts = [builder.shuffle_vector(register, undefined, mask) for mask in masks]
            out = builder.insert_value(out, functools.reduce(builder.fadd, parts), i)
        return out

    return result(lanes), codegen
