"""Where a job stands in the order of the share tree, counted instead of walked. Changes nothing.

The order is that of `Node.walk`: children by their share, those with an equal share merged by the number of
the oldest that waits below each at its turn. Whole projects are counted by their sizes and users by a
bisection. So the cost grows with the projects that wait and the users of some of them, not with the jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TypeVar

from sojourn.core.fair_share.tree import Node

T = TypeVar("T")

Counts = dict[Node, int]
"""So many jobs of a project of which all are counted, or the oldest so many of a user of another one."""


def before(user: Node, seq: int) -> Counts:
    """Who goes before the user's job of that number, which waits and may start."""
    found: Counts = {user: user.older(seq)}
    node: Node = user
    at: float = seq
    while (parent := node.parent) is not None:
        assert node.key is not None, "it may start"
        share, later = node.key[:2], inf
        for child in parent.children.values():
            key = child.key
            if key is None or child is node:
                continue
            if key[:2] < share:
                _whole(child, found)
            elif key[:2] == share:
                _while_older(child, at, found)
            else:
                later = min(later, key[2])
        at = min(at, later)  # as long as that one waits, it decides the ties further up
        node = parent
    return {node: count for node, count in found.items() if count}


def everybody(root: Node) -> Counts:
    """All who may start."""
    found: Counts = {}
    for account in root.children.values():
        if account.key is not None:
            _whole(account, found)
    return found


def project_of(node: Node) -> Node:
    """The project itself, or that of a user."""
    if node.level == "project":
        return node
    assert node.parent is not None
    return node.parent


def outweighed(user: Node, by: Node) -> str | None:
    """The level at which the two part, if the user's weight is 0 there and the other one's is not."""
    for mine, other in zip(_path(user), _path(by), strict=False):
        if mine is not other:
            return mine.level if mine.weight <= 0 < other.weight else None
    return None


def rising(measure: Callable[[T], int], things: Sequence[T]) -> list[int]:
    """The measures of things in an order in which they do not fall; few are taken where many are equal."""
    found = [0] * len(things)

    def fill(first: int, last: int) -> None:
        if found[first] == found[last]:
            found[first : last + 1] = [found[first]] * (last + 1 - first)
        elif last - first > 1:
            middle = (first + last) // 2
            found[middle] = measure(things[middle])
            fill(first, middle)
            fill(middle, last)

    if things:
        found[0], found[-1] = measure(things[0]), measure(things[-1])
        fill(0, len(things) - 1)
    return found


def _path(node: Node) -> list[Node]:
    """From the account down."""
    found: list[Node] = []
    while node.parent is not None:
        found.append(node)
        node = node.parent
    return found[::-1]


def _whole(node: Node, found: Counts) -> None:
    if node.level != "account":
        found[node] = node.size
        return
    for project in node.children.values():
        if project.key is not None:
            found[project] = project.size


def _while_older(node: Node, at: float, found: Counts) -> None:
    """Who goes while somebody below is older than `at`: with equal shares that is before a job whose turn is
    decided by it."""
    if node.level == "user":
        found[node] = node.older(at)
        return
    waits = [(child.key, child) for child in node.children.values() if child.key is not None]
    last = max((key[:2] for key, _ in waits if key[2] < at), default=None)
    if last is None:
        return
    for key, child in waits:
        if key[:2] < last:
            _whole(child, found)
        elif key[:2] == last:
            _while_older(child, at, found)
