"""Team: threads that share a compiled job piece by piece, without the interpreter between them.

do:   a compiled job, its numbers, how many pieces -> every piece done once, by whoever is free
naps: how many fell asleep since they were called; who goes on for long without the interpreter asks, and calls anew

To hand work to a thread that sleeps, and to wait for it, takes the system a tenth of a millisecond, and the
interpreter's lock another: as long as a layer's product of matrices. So the members of the team look for the next job
a little while longer when one is done, and go to sleep when none comes. Nobody waits for them: the caller takes
pieces, too, and where nobody else is awake does them all. It waits only for pieces that a member has begun. What a
piece is depends on the job alone, and so does what it computes. Whoever looks for long steps aside now and then: the
system likes to put a thread that it wakes on its waker's processor, where one would wait for what the other cannot do
meanwhile. The surprise: all that members see is a board of numbers; the addresses on it are those of arrays, which the
caller holds until the job is done.
"""

import os
import threading
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from pellucid.kernels.jit import addressed, exact
from pellucid.kernels.threads import inside_of_work, thread_count

Array = np.ndarray

STATE, DONE, JOB, NUMBERS, ASLEEP, ROOM = 0, 8, 16, 17, 18, 24
"""Places on the board: the state of the job; its pieces done; the addresses of its function and of its numbers; how
often a member fell asleep.

The state is the job's number (upper 32 bits) and which pieces nobody has taken: from (16 bits) to before (16 bits).
What several write lies on different lines of memory.
"""

MOST = 2**16 - 1  # pieces

PATIENCE = 2**19
"""Looks at the board before a member goes to sleep: for half a millisecond, about."""

GLANCES = 2**12 - 1
"""Looks, less one, before somebody steps aside for whoever else waits for this processor."""

_CPointer: Any = types.CPointer
_WORD = ir.IntType(64)
_intrinsic: Any = intrinsic


def _place(context: Any, builder: Any, kind: Any, board: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, board).data, [index])


@_intrinsic
def _read(typing, board, index):  # type: ignore[no-untyped-def]
    """What stands there now, whoever wrote it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_place(context, builder, board, *values), "seq_cst", 8)

    return types.int64(board, types.int64), code


@_intrinsic
def _write(typing, board, index, value):  # type: ignore[no-untyped-def]
    """Put a number there, for all to see, after everything that was written before."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[2], _place(context, builder, board, *values[:2]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(board, types.int64, types.int64), code


@_intrinsic
def _increase(typing, board, index):  # type: ignore[no-untyped-def]
    """One more there, though others do the same at the same time."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.atomic_rmw("add", _place(context, builder, board, *values), ir.Constant(_WORD, 1), "seq_cst")
        return context.get_dummy_value()

    return types.void(board, types.int64), code


@_intrinsic
def _exchange(typing, board, index, old, new):  # type: ignore[no-untyped-def]
    """Whether `old` stood there, and `new` does now."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, board, *values[:2])
        found = builder.cmpxchg(place, values[2], values[3], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(board, types.int64, types.int64, types.int64), code


@_intrinsic
def call(typing, job, numbers, piece):  # type: ignore[no-untyped-def]
    """The function at an address, with the address of its numbers and a piece."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = ir.IntType(64).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _WORD, pointer])
        function = builder.inttoptr(values[0], kind.as_pointer())
        builder.call(function, [builder.inttoptr(values[1], pointer), values[2], ir.Constant(pointer, None)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


if hasattr(os, "sched_yield"):
    _step_aside: Any = types.ExternalFunction("sched_yield", types.int32())
else:

    @exact
    def _step_aside():  # type: ignore[no-untyped-def]
        """There is no such thing here."""


@exact
def _take(board, last):  # type: ignore[no-untyped-def]
    """A piece that is this thread's from now on, the first or the last one; -1 where none is left.

    Until the piece is done, the job cannot change. Who begins at one end always does so with the same pieces, and finds
    some of what they need in the caches of its own processor: to get it from another's takes longer than from memory.
    """
    while True:
        state = _read(board, STATE)
        begin, end = (state >> 16) & MOST, state & MOST
        if begin == end:
            return -1
        if _exchange(board, STATE, state, state - 1 if last else state + (1 << 16)):
            return end - 1 if last else begin


@exact
def _help(board, last, patience):  # type: ignore[no-untyped-def]
    """Take pieces until there was no new job for so many looks."""
    looks, job = 0, _read(board, STATE) >> 32
    while looks < patience:
        piece = _take(board, last)
        if piece >= 0:
            call(_read(board, JOB), _read(board, NUMBERS), piece)
            _increase(board, DONE)
        looks += 1
        if looks & GLANCES == 0:
            _step_aside()
        if _read(board, STATE) >> 32 != job:
            looks, job = 0, _read(board, STATE) >> 32
    _increase(board, ASLEEP)


@exact
def naps(board):  # type: ignore[no-untyped-def]
    """How often members went to sleep since they were called to this board: they sleep until they are called again."""
    return _read(board, ASLEEP) if len(board) > 0 else 0


@exact
def do(board, job, numbers, pieces):  # type: ignore[no-untyped-def]
    """Have all pieces of a job done, by this thread and whoever else is free; alone where the board is empty.

    job: the address of a function that `compiled` made; numbers: what it shall be given. Arrays whose addresses are
    among them have to be held until it is done (`hold`, in compiled code, which lets go of what it no longer names).
    """
    if len(board) == 0:
        for piece in range(pieces):
            call(job, address(numbers), piece)
        return
    _write(board, DONE, 0)
    _write(board, JOB, job)
    _write(board, NUMBERS, address(numbers))
    _write(board, STATE, (((_read(board, STATE) >> 32) + 1) << 32) | pieces)
    piece = _take(board, False)
    while piece >= 0:
        call(job, address(numbers), piece)
        _increase(board, DONE)
        piece = _take(board, False)
    looks = 0
    while _read(board, DONE) < pieces:
        looks += 1
        if looks & GLANCES == 0:
            _step_aside()
    hold(numbers)


@exact
def hold(array):  # type: ignore[no-untyped-def]
    """Nothing; but an array lives as long as somebody still names it."""


@exact
def address(array):  # type: ignore[no-untyped-def]
    """Where the first element of an array lies."""
    return np.int64(array.ctypes.data)


class _Team:
    """A board, and members that sleep each at a gate of its own."""

    def __init__(self) -> None:
        self.taken = threading.Lock()
        self.board = np.zeros(ROOM, np.int64)
        self._gates: list[Any] = []

    def wake(self, count: int) -> None:
        """Have so many members look at the board, now or as soon as they wake up."""
        self.board[ASLEEP] = 0
        while len(self._gates) < count:
            gate, last = threading.Lock(), len(self._gates) % 2 == 0
            self._gates.append(gate)
            threading.Thread(target=self._serve, args=(gate, last), name="pellucid-team", daemon=True).start()
        for gate in self._gates[:count]:
            if gate.locked():  # it sleeps, or is about to
                gate.release()

    def _serve(self, gate: Any, last: bool) -> None:
        while True:
            _help(self.board, last, PATIENCE)
            gate.acquire()


_team = _Team()
_NO_BOARD = np.zeros(0, np.int64)


def _forget() -> None:
    """In a process that was forked: threads do not come along, and a board that was taken would stay so."""
    _team.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Place:
    """At the board, for `do`: with Place(pieces) as board. There is room for one.

    pieces: about how many there will be; no more members than can have one are woken. The board is empty, which means
    alone, for a single piece, with one thread, inside the work of `run_in_order`, and where somebody else is at it.
    """

    def __init__(self, pieces: int) -> None:
        self._pieces, self._team, self._taken = pieces, _team, False

    def __enter__(self) -> Array:
        if self._pieces < 2 or inside_of_work():
            return _NO_BOARD
        helpers = min(thread_count(), self._pieces) - 1
        if helpers < 1 or not self._team.taken.acquire(blocking=False):
            return _NO_BOARD
        self._taken = True
        self._team.wake(helpers)
        return self._team.board

    def __exit__(self, *_: object) -> None:
        if self._taken:
            self._team.taken.release()


@cache
def compiled(function: Any, dtype: Any) -> int:
    """The address of a function (numbers, piece, kind) -> None, compiled for arrays of a type, float32 or float64.

    numbers: a pointer to 64-bit ones; kind: for `array`, which makes arrays of their addresses.
    """
    number = types.float64 if dtype == np.float64 else types.float32
    signature = types.void(_CPointer(types.int64), types.int64, _CPointer(number))
    made: Any = addressed(signature)(function)
    _kept.append(made)
    place: int = made.address
    return place


_kept: list[Any] = []  # what is compiled lives as long as somebody holds it


@_intrinsic
def _pointer(typing, place, kind):  # type: ignore[no-untyped-def]
    """An address as a pointer of this kind."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], values[1].type)

    return kind(types.int64, kind), code


@exact
def array(place, size, kind):  # type: ignore[no-untyped-def]
    """Inside a job: the flat array that begins at an address."""
    return carray(_pointer(place, kind), (size,))


def _pointer_to(number: Any) -> Any:
    @_intrinsic
    def pointer(typing, place):  # type: ignore[no-untyped-def]
        """An address as that of such numbers."""

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], ir.IntType(number.bitwidth).as_pointer())

        return _CPointer(number)(types.int64), code

    return pointer


_bytes, _naturals, _wide, _integers = map(_pointer_to, (types.uint8, types.uint32, types.uint64, types.int64))


@exact
def naturals(place, size):  # type: ignore[no-untyped-def]
    """Inside a job: the flat array of 32-bit numbers, none negative, that begins at an address."""
    return carray(_naturals(place), (size,))


@exact
def small(place, size):  # type: ignore[no-untyped-def]
    """Inside a job: the flat array of bytes."""
    return carray(_bytes(place), (size,))


@exact
def words(place, size):  # type: ignore[no-untyped-def]
    """Inside a job: the flat array of 64-bit numbers, none negative."""
    return carray(_wide(place), (size,))


@exact
def wide(place, rows):  # type: ignore[no-untyped-def]
    """Inside a job: the array of 64-bit numbers, none negative, five in a row: the runs of a convolution's plan."""
    return carray(_wide(place), (rows, 5))


@exact
def board_at(place):  # type: ignore[no-untyped-def]
    """Inside a job: the board at an address; an empty one at 0."""
    return carray(_integers(place), (ROOM if place != 0 else 0,))


@exact
def integers(numbers, size):  # type: ignore[no-untyped-def]
    """Inside a job: the first of its numbers."""
    return carray(numbers, (size,))
