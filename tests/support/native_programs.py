"""Random programs of native clients: what each says next, from a seed and a vocabulary of SQL.

A program is a list of actions, which repr() prints and eval() reads: ("open", client, options), ("close", client, options),
("cut", client) and ("say", client, requests), a pipeline whose answers are awaited behind it. A request is (kind,
arguments, chained). MINE in a text stands for a name of the client's own, "top" for the depth of its stack and "begun"
for its newest level, "TOKEN" in OPEN's options for what the first client shares; what is "cancelled" is so while it runs. Who runs a program may leave out any action, and gives what is said to whoever is in a transaction.
"""

CLIENTS = 3
ALONE = 2  # this client has a connection of its own, which can be cut
ACTIONS = 40
ISOLATIONS = ("read committed", "read committed", "repeatable read", "serializable")
VALUES = (None, True, False, 0, 1, 3, -7, 2**31, 2**40, 1.5, -0.0, "", "x", "17", "grün", "it's", b"", b"\0\xff", "2020-02-03")


class Vocabulary:
    """Control is of transactions; what is parametrised or for many sets is (text, how many), `ordered` a query of several rows.
    Who has one adds text(rnd), one statement."""

    def __init__(self, control, parametrised, many, endless, ordered):
        self.texts = {"control": control, "parametrised": parametrised, "many": many, "endless": endless, "ordered": ordered}

    def control(self, rnd):
        return rnd.choice(self.texts["control"])

    def parametrised(self, rnd):
        return rnd.choice(self.texts["parametrised"])

    def many(self, rnd):
        return rnd.choice(self.texts["many"])

    def endless(self, rnd):
        return rnd.choice(self.texts["endless"])

    def ordered(self, rnd):
        return rnd.choice(self.texts["ordered"])


class Programs:

    def __init__(self, rnd, vocabulary):
        self.rnd = rnd
        self.words = vocabulary

    def program(self):
        self.grouped = self.rnd.random() < 0.2  # all join the first client, who stays
        return [("open", client, self.opening(client)) for client in range(CLIENTS)] + [self.action() for _ in range(ACTIONS)]

    def action(self):
        rnd = self.rnd
        client, way = rnd.randrange(CLIENTS), rnd.random()
        if self.grouped and client == 0:
            way = 1.0
        if way < 0.04:
            return ("close", client, {"commit": rnd.random() < 0.6})
        if way < 0.05:
            return ("cut", ALONE)
        if way < 0.09:
            return ("open", client, self.opening(client))
        return ("say", client, [self.request() for _ in range(rnd.choice((1, 1, 1, 1, 2, 3, 5)))])

    def opening(self, client):
        rnd, options = self.rnd, {}
        if self.grouped:
            options.update({"join": "TOKEN"} if client else {"share": True})
        if rnd.random() < 0.08:
            options["read_only"] = True
        if rnd.random() < 0.12:
            options["transaction"] = self.modes()
        return options

    def modes(self):
        rnd, modes = self.rnd, {}
        if rnd.random() < 0.06:
            modes["isolation"] = rnd.choice(ISOLATIONS)
        if rnd.random() < 0.1:
            modes["read_only"] = rnd.random() < 0.8
        if rnd.random() < 0.02:
            modes["deferrable"] = True
        if rnd.random() < 0.08:
            modes["locking"] = rnd.choice(("deferred", "immediate", "exclusive"))
        if rnd.random() < 0.1:
            modes["force_rollback"] = True
        return modes

    def request(self):
        rnd = self.rnd
        way = rnd.random()
        if way < 0.01:
            return ("cancelled", [self.words.endless(rnd), None, {}], False)
        if way < 0.3:
            kind, arguments = "tx", self.transaction()
        elif way < 0.45:
            kind, arguments = "batch", self.batch()
        else:
            kind, arguments = "exec", self.exec()
        return (kind, arguments, rnd.random() < 0.15)

    def transaction(self):
        rnd = self.rnd
        op = rnd.choice(("begin",) * 5 + ("commit",) * 4 + ("rollback",) * 4 + ("rollback_all", "status"))
        options = {}
        if op == "begin":
            options = self.modes()
            if rnd.random() < 0.15:
                options["if_open"] = rnd.choice(("nest", "join", "error"))
            if rnd.random() < 0.1:
                options["name"] = "named"
        elif op in ("commit", "rollback") and rnd.random() < 0.6:
            options = rnd.choice(({"depth": "top"}, {"depth": "top"}, {"level": "begun"}, {"depth": 1}, {"depth": 2}))
        return [op, dict(options)]

    def exec(self):
        rnd = self.rnd
        way, options = rnd.random(), {}
        if rnd.random() < 0.06:
            options["atomic"] = True
        if way < 0.02:
            return [self.words.endless(rnd), None, {"timeout_ms": 10}]
        if way < 0.2:
            text, values = self.words.parametrised(rnd)
            return [*self.placed(text, [rnd.choice(VALUES) for _ in range(values)]), options]
        if way < 0.3:
            options.update(rnd.choice(({"max_rows": 2}, {"credit": 1}, {"credit": 2}, {"credit": 2, "discard": True},
                                       {"credit": 1, "max_rows": 3})))
            return [rnd.choice((self.words.ordered(rnd), self.script(self.words.ordered))), None, options]
        if way < 0.5:
            return [self.words.control(rnd), None, options]
        if way < 0.65:
            return [self.script(self.statement), None, options]
        return [self.words.text(rnd), None, options]

    def statement(self, rnd):
        return (self.words.control if rnd.random() < 0.3 else self.words.text)(rnd)

    def script(self, of):
        return "; ".join(of(self.rnd) for _ in range(self.rnd.choice((2, 2, 3, 4))))

    def placed(self, text, values):
        """The text with $1, $2, ... in one of the three styles."""
        style = self.rnd.random()
        numbers = range(len(values), 0, -1)
        if style < 0.25:
            for number in numbers:
                text = text.replace(f"${number}", f":v{number}")
            return text, {f"v{number}": values[number - 1] for number in numbers}
        if style < 0.4 and all(text.count(f"${number}") == 1 for number in numbers):
            for number in numbers:
                text = text.replace(f"${number}", "?")
        return text, values

    def batch(self):
        rnd, options = self.rnd, {}
        if rnd.random() < 0.2:
            options["atomic"] = True
        elif rnd.random() < 0.4:
            options["stop"] = False
        return [[self.item() for _ in range(rnd.choice((1, 2, 3, 4)))], options]

    def item(self):
        rnd = self.rnd
        way = rnd.random()
        if way < 0.25:
            text, values = self.words.many(rnd)
            return [text, None, [[rnd.choice(VALUES) for _ in range(values)] for _ in range(rnd.choice((0, 1, 2, 4)))]]
        if way < 0.5:
            text, values = self.words.parametrised(rnd)
            return list(self.placed(text, [rnd.choice(VALUES) for _ in range(values)]))
        return [self.statement(rnd)]


def shrunk(program, fails, tries=400):
    """The program without what it fails without, too."""
    size = len(program)
    while tries > 0 and size >= 1:
        at, removed = 0, False
        while at < len(program) and tries > 0:
            shorter = program[:at] + program[at + size:]
            tries -= 1
            if fails(shorter):
                program, removed = shorter, True
            else:
                at += size
        size = size // 2 if not removed or size > 1 else size
    return fewer_requests(program, fails, tries)


def fewer_requests(program, fails, tries):
    for at, action in enumerate(program):
        if action[0] != "say":
            continue
        number = 0
        while number < len(program[at][2]) and len(program[at][2]) > 1 and tries > 0:
            requests = program[at][2]
            shorter = program[:at] + [("say", action[1], requests[:number] + requests[number + 1:])] + program[at + 1:]
            tries -= 1
            if fails(shorter):
                program = shorter
            else:
                number += 1
    return program
