"""Writes marks, jumps and stores of single bits for Aer, and the temporary bits that they need.

Of Aer's classical operations these are the ones whose results are right: Boolean operators on bits, stores
of a Boolean, stores of a constant, and jumps on a Boolean. Each acts on all qubits, so that nothing is moved
past it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qiskit.circuit import CircuitInstruction, ClassicalRegister, Clbit, Instruction, QuantumCircuit, Store
from qiskit.circuit.classical import expr, types
from qiskit_aer.library.control_flow_instructions import AerJump, AerMark, AerStore

from sojourn.devices.logic import FALSE, TRUE, Logic, Node, Op, Word, reachable

_INLINE = 24  # leaves of one of Aer's expressions; more would be deep recursion in Qiskit and Aer
_CHUNK = 32  # bits of one constant; Aer's integers have 64
_BOOL = types.Bool()
_BINARY = {Op.AND: expr.Binary.Op.LOGIC_AND, Op.OR: expr.Binary.Op.LOGIC_OR, Op.XOR: expr.Binary.Op.NOT_EQUAL}


class Code:
    """The instructions written so far. `circuit` starts with the bits of `like` and nothing else."""

    def __init__(self, like: QuantumCircuit) -> None:
        self.circuit = like.copy_empty_like(vars_mode="drop")
        self._first = like.num_clbits
        self._free: list[int] = []
        self._labels = 0
        self._named = -1  # the last bit that an expression or a store names

    def hidden(self, count: int) -> tuple[int, ...]:
        """The numbers of so many new classical bits behind the user's own. They start as 0."""
        start = self.circuit.num_clbits
        self.circuit.add_bits([Clbit() for _ in range(count)])
        return tuple(range(start, start + count))

    def append(self, item: CircuitInstruction) -> None:
        """Any other instruction, on bits of the outermost circuit."""
        self.circuit.append(item, copy=False)

    def barrier(self) -> None:
        """Nothing is moved past this place."""
        self.circuit.barrier()

    def label(self) -> str:
        """A name for a mark that is not in use yet."""
        self._labels += 1
        return f"m{self._labels}"

    def mark(self, label: str) -> None:
        """Where jumps to `label` go to."""
        self._append(AerMark(label, self.circuit.num_qubits))

    def jump(self, label: str) -> None:
        """Go on at the mark, always."""
        self._append(AerJump(label, self.circuit.num_qubits))

    def branch(self, logic: Logic, ways: Sequence[tuple[Node, str]]) -> None:
        """Go on at the mark of the first condition that holds; at the next instruction if none does."""
        values = self._values(logic, [node for node, _ in ways if node > TRUE])
        for node, label in ways:
            if node == TRUE:
                self.jump(label)
                break
            if node != FALSE:
                self._append(AerJump(label, self.circuit.num_qubits).set_conditional(values.tree(node)))
        self._release(values)

    def assign(self, logic: Logic, bits: Sequence[int], word: Word) -> None:
        """All at once: the new values are computed from what all bits were before."""
        pairs = [(bit, node) for bit, node in zip(bits, word, strict=True) if node <= TRUE]
        moving = {
            bit: node for bit, node in zip(bits, word, strict=True) if node > TRUE and node != logic.bit(bit)
        }
        values = self._values(logic, list(moving.values()))
        readers = Counter(read for bit, node in moving.items() for read in values.bits(node) if read != bit)
        late = {bit: self._take() for bit in moving if readers[bit]}
        for bit, temporary in late.items():
            self.store(temporary, values.tree(moving[bit]))
        for bit, node in moving.items():
            if bit not in late:
                self.store(bit, values.tree(node))
        for bit, temporary in late.items():
            self.store(bit, self.bit(temporary))
        self.set(pairs)
        self._free.extend(late.values())
        self._release(values)

    def set(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Give bits constants: (number, 0 or 1)."""
        for start in range(0, len(pairs), _CHUNK):
            part = pairs[start : start + _CHUNK]
            self._named = max(self._named, *(bit for bit, _ in part))
            place = ClassicalRegister(bits=[self.circuit.clbits[bit] for bit, _ in part])
            value = sum(bool(one) << shift for shift, (_, one) in enumerate(part))
            kind = types.Uint(len(part))
            self._write(Store(expr.Var(place, kind), expr.Value(value, kind)))

    def finish(self) -> None:
        """Set every hidden bit back to 0, so that the outcome has the user's bits only."""
        bits = self.circuit.clbits
        self.set([(bit, 0) for bit in range(self._first, len(bits))])
        measured = {bit for item in self.circuit.data for bit in item.clbits}
        unseen = self._named >= 0 and measured.isdisjoint(bits[self._named :])
        if bits and (unseen or self._ends_in_flow()):
            # Aer's memory ends with the last bit that a measurement writes, and Aer drops what is behind the
            # last measurement, the jump at the end of a loop included: here is one that is jumped over
            end = self.label()
            self.jump(end)
            self.circuit.measure(0, bits[max(self._named, 0)])
            self.mark(end)

    def _ends_in_flow(self) -> bool:
        """Whether a jump or a mark stands behind the last measurement."""
        for item in reversed(self.circuit.data):
            if item.clbits:
                return False
            if item.name in ("jump", "mark"):
                return True
        return False

    def store(self, bit: int, value: expr.Expr) -> None:
        """Give one bit the value of a Boolean."""
        self._write(Store(self.bit(bit), value))

    def bit(self, number: int) -> expr.Var:
        """One bit as an operand."""
        self._named = max(self._named, number)
        return expr.Var(self.circuit.clbits[number], _BOOL)

    def _values(self, logic: Logic, roots: Sequence[Node]) -> _Values:
        """Compute what several of the roots need, or what is too deep for one expression, in advance."""
        values = _Values(self, logic, roots)
        for node in values.shared:
            tree = values.tree(node)
            values.place[node] = self._take()
            self.store(values.place[node], tree)
            self._free.extend(values.spent(node))
        return values

    def _take(self) -> int:
        return self._free.pop() if self._free else self.hidden(1)[0]

    def _release(self, values: _Values) -> None:
        self._free.extend(values.place.values())

    def _write(self, store: Store) -> None:
        instruction = AerStore(self.circuit.num_qubits, 0, store)
        instruction.params = []  # Aer reads `store`; here a circuit would look for the registers in it
        self._append(instruction)

    def _append(self, instruction: Instruction) -> None:
        self.append(CircuitInstruction(instruction, self.circuit.qubits))


class _Values:
    """The nodes of one statement: which are computed in advance, and Aer's expressions for the rest.

    `shared` lists the nodes that get a temporary bit, in order of evaluation; `place` is where they lie.
    """

    def __init__(self, code: Code, logic: Logic, roots: Sequence[Node]) -> None:
        self._code = code
        self._logic = logic
        self.place: dict[Node, int] = {}
        self.shared: list[Node] = []
        self._needs: dict[Node, frozenset[Node]] = {}  # input bits and shared nodes that it reads
        order = reachable(logic, roots)
        uses = Counter(roots)
        for node in order:
            uses.update(self._operands(node))
        kept: set[Node] = set()
        weight: dict[Node, int] = {}
        for node in order:
            operands = self._operands(node)
            if not operands:
                kept.add(node)
                weight[node] = 1
                continue
            self._needs[node] = frozenset().union(
                *({below} if below in kept else self._needs[below] for below in operands)
            )
            weight[node] = sum(1 if below in kept else weight[below] for below in operands)
            if weight[node] > _INLINE or (uses[node] > 1 and logic[node][0] is not Op.NOT):
                kept.add(node)
                self.shared.append(node)
        self._last: dict[Node, Node] = {node: node for node in self.shared}
        for node in self.shared:
            self._last.update(dict.fromkeys(self._needs[node] & self._last.keys(), node))
        for root in roots:
            for node in self.reads(root) & self._last.keys():
                self._last[node] = -1
        self._spent: dict[Node, list[Node]] = {}
        for node, last in self._last.items():
            self._spent.setdefault(last, []).append(node)

    def reads(self, node: Node) -> frozenset[Node]:
        """The input bits and shared nodes in the expression of `node`."""
        inline = self._operands(node) and node not in self._last
        return self._needs[node] if inline else frozenset((node,))

    def bits(self, node: Node) -> set[int]:
        """The numbers of the input bits in the expression of `node`."""
        return {self._logic[read][1] for read in self.reads(node) if self._logic[read][0] is Op.BIT}

    def spent(self, node: Node) -> list[int]:
        """The temporary bits that nobody reads any more once `node` is computed."""
        return [self.place.pop(below) for below in self._spent.get(node, ()) if below != node]

    def tree(self, node: Node) -> expr.Expr:
        """The expression of a node; before it has a place, the one that computes it."""
        if node in self.place:
            return self._code.bit(self.place[node])
        op, left, right = self._logic[node]
        if op is Op.BIT:
            return self._code.bit(left)
        if op is Op.NOT:
            return expr.Unary(expr.Unary.Op.LOGIC_NOT, self.tree(left), _BOOL)
        return expr.Binary(_BINARY[op], self.tree(left), self.tree(right), _BOOL)

    def _operands(self, node: Node) -> tuple[Node, ...]:
        op, left, right = self._logic[node]
        if op is Op.BIT:
            return ()
        return (left,) if right < 0 else (left, right)
