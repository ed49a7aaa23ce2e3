"""The language of conversation specs: sessions, steps and the replies that they must get.

    # Prose before the first step says which rule the spec proves.
    only: plain                          optional: the worlds that it is for (words below)

    a: exec insert into t values (1)     session, operation, its text
      = INSERT 1, idle 0                 its final frame: what each statement did, then state and depth
    a: exec select n, s from t
      | 1, "x"                           the rows before it, as JSON without brackets
      = SELECT 1, idle 0
    a: exec select :n <- {"n": 1}        parameters behind an arrow
    a: begin isolation="serializable"    options are NAME=JSON
      = open 1, level=$1                 $1 keeps the value at its first use, and compares it later
    a: + exec selec                      +: the request has the flag CHAIN
      ! 42601, failed 1, message~near    an error: its code, state and depth; fields that must be so (=) or match (~)
    a: commit level=$1
      = idle 0
    a: & exec insert into t values (2)   &: sent without waiting; answered when the session's next step has been sent
    a: blocked                           nothing has come for it so far
    a: wait                              now its answers

Sessions are opened when they are first named, on a connection each; `x.a` and `x.b` share the connection x.
Operations: open, begin, commit, rollback, rollback_all, status, exec, batch, close, cancel (the session's oldest
unanswered request), disconnect (the connection), notice KIND (waits for one), wait, blocked.
For exec, options stand in front: `exec(max_rows=1) select ...`.

A reply or a step that holds in some worlds only begins with them in brackets: `[sqlite] = ...`, `[postgresql,forced] ...`:
one of postgresql and sqlite, one of plain and forced (--force-rollback); every word given must be true.

Between `interleave` and `end`, the steps of the sessions run in every order that keeps each session's own (at most
ORDERS_MAX of them, the first ones of a fixed shuffle), each time from the beginning of the spec, with the same replies.
The sessions there share a connection, so the order in which they were sent is the order in which they arrive; they are
answered before what follows `end`.
"""

import dataclasses
import itertools
import json
import random
import re

ORDERS_MAX = 24
OPERATIONS = {"open", "begin", "commit", "rollback", "rollback_all", "status", "exec", "batch", "close", "cancel",
              "disconnect", "notice", "wait", "blocked"}
WORLDS = {"postgresql", "sqlite", "plain", "forced"}


class Malformed(Exception):
    """The spec itself is wrong."""


@dataclasses.dataclass
class Step:
    line: int
    worlds: frozenset
    session: str
    operation: str
    text: str
    options: dict
    parameters: object = None
    chain: bool = False
    deferred: bool = False
    rows: list = dataclasses.field(default_factory=list)     # (worlds, JSON text)
    finals: list = dataclasses.field(default_factory=list)   # (worlds, "=" or "!", items, line)


@dataclasses.dataclass
class Spec:
    name: str
    only: frozenset
    blocks: list  # each a list of steps in order, or a tuple of lists to interleave


STEP = re.compile(r"([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?):\s*(\+\s+)?(&\s+)?([a-z_]+)(?:\(([^)]*)\))?\s*(.*)")
OPTION = re.compile(r'\s*([a-z_]+)=("(?:[^"\\]|\\.)*"|\$\w+|[^\s,]+),?')


def read_options(text, line):
    options = {}
    at = 0
    while at < len(text):
        match = OPTION.match(text, at)
        if not match:
            raise Malformed(f"line {line}: {text[at:]!r} is no NAME=JSON")
        value = match[2]
        try:
            options[match[1]] = value if value.startswith("$") else json.loads(value)
        except ValueError:
            raise Malformed(f"line {line}: {value!r} is no JSON") from None
        at = match.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return options


def read_worlds(text, line):
    """The words in brackets in front, and what is behind them."""
    match = re.match(r"\[([a-z, ]+)\]\s*", text)
    if not match:
        return frozenset(), text
    words = frozenset(word.strip() for word in match[1].split(","))
    if not words <= WORLDS:
        raise Malformed(f"line {line}: worlds are {', '.join(sorted(WORLDS))}")
    return words, text[match.end():]


def read_step(text, line):
    worlds, text = read_worlds(text, line)
    match = STEP.fullmatch(text)
    if not match or match[4] not in OPERATIONS:
        raise Malformed(f"line {line}: no step: {text!r}")
    session, chain, deferred, operation, in_front, rest = match.groups()
    parameters = None
    if operation in ("exec", "batch"):
        options = read_options(in_front or "", line)
        if operation == "exec" and " <- " in rest:
            rest, _, given = rest.rpartition(" <- ")
            parameters = json.loads(given)
    elif operation == "notice":
        options = {}
    else:
        options, rest = read_options(rest, line), ""
    return Step(line, worlds, session, operation, rest, options, parameters, bool(chain), bool(deferred))


def read_reply(step, text, line):
    worlds, text = read_worlds(text.strip(), line)
    mark, rest = text[:1], text[1:].strip()
    if mark == "|":
        step.rows.append((worlds, rest))
    elif mark in ("=", "!"):
        step.finals.append((worlds, mark, [item.strip() for item in rest.split(",")], line))
    else:
        raise Malformed(f"line {line}: a reply begins with |, = or !")


def read_spec(name, text):
    only = frozenset()
    blocks = [[]]
    interleaved = None
    step = None
    for line, raw in enumerate(text.splitlines(), 1):
        content = raw.rstrip()
        if not content or content.startswith("#"):
            continue
        if content.startswith("only:"):
            only = frozenset(content.removeprefix("only:").split())
        elif content == "interleave":
            interleaved = {}
        elif content == "end":
            blocks += [tuple(interleaved.values()), []]
            interleaved = None
        elif content[0].isspace():
            if step is None:
                raise Malformed(f"line {line}: a reply without a step")
            read_reply(step, content, line)
        else:
            step = read_step(content, line)
            if interleaved is None:
                blocks[-1].append(step)
            else:
                interleaved.setdefault(step.session, []).append(step)
    if interleaved is not None:
        raise Malformed("interleave without end")
    return Spec(name, only, [block for block in blocks if block])


def merges(lists):
    """Every order of all items that keeps each list's own."""
    if not any(lists):
        yield []
        return
    for index, items in enumerate(lists):
        if items:
            rest = [list(other) for other in lists]
            first = rest[index].pop(0)
            for order in merges(rest):
                yield [first, *order]


def orders(spec):
    """The runs of a spec: lists of (step, interleaved)."""
    choices = []
    for block in spec.blocks:
        if isinstance(block, list):
            choices.append([[(step, False) for step in block]])
            continue
        found = [[(step, True) for step in order] for order in itertools.islice(merges(block), 2000)]
        random.Random(spec.name).shuffle(found)
        choices.append(found[:ORDERS_MAX])
    for combination in itertools.islice(itertools.product(*choices), ORDERS_MAX):
        yield [step for block in combination for step in block]
