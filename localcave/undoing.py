"""Taking edits back, and doing them again: always edges against the present graph, never a state restored."""

from __future__ import annotations

from collections.abc import Iterable

from localcave.edgetable import EdgeChange
from localcave.editing import Author
from localcave.errors import BadRequest
from localcave.graph import Draft, Graph
from localcave.journal import Details, Operation
from localcave.state import State


def undo(graph: Graph, operation_id: int, author: Author) -> Operation | None:
    """Take an operation back; of an undo, do again what it took back. Returns none if nothing changes."""
    return _settle(graph, operation_id, author, back=True)


def redo(graph: Graph, operation_id: int, author: Author) -> Operation | None:
    """Do an operation again that was taken back. Returns none if nothing changes."""
    return _settle(graph, operation_id, author, back=False)


def roll_back(graph: Graph, user_id: int, skip: Iterable[int], author: Author) -> list[Operation]:
    """Take back every operation of a user, newest first, but for some."""
    skipped = set(skip)
    theirs = [op.id for op in graph.view().operations if op.user_id == user_id and op.id not in skipped]
    done = (undo(graph, number, author) for number in reversed(theirs))
    return [operation for operation in done if operation is not None]


def _settle(graph: Graph, operation_id: int, author: Author, *, back: bool) -> Operation | None:
    def step(state: State) -> Draft:
        original, take_back = _resolve(state, operation_id, back)
        change = state.change(original)
        if take_back:
            change = EdgeChange.of(change.removed, change.added)
        details = Details(undoes=original.id) if take_back else Details(redoes=original.id)
        kind = "merge" if original.is_merge != take_back else "split"
        return Draft(state.forest.edges.needed(change), kind, author.user_id, details=details)

    done = graph.edit([step], delay_ms=author.delay_ms)
    return done[0] if done else None


def _resolve(state: State, operation_id: int, back: bool) -> tuple[Operation, bool]:
    """Follow a chain of undos and redos to the first operation, and return whether to take that back."""
    operation = _operation(state, operation_id)
    while operation.details.undoes is not None or operation.details.redoes is not None:
        if operation.details.undoes is not None:
            back = not back
            operation = _operation(state, operation.details.undoes)
        elif operation.details.redoes is not None:
            operation = _operation(state, operation.details.redoes)
    return operation, back


def _operation(state: State, number: int) -> Operation:
    if not 1 <= number <= len(state.operations):
        raise BadRequest(f"there is no operation {number}")
    return state.operations[number - 1]
