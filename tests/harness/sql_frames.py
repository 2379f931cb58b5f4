"""Random frames of PostgreSQL's protocol: what the server answers to them directly, it must answer through the proxy."""

import contextlib
import random

from .postgres import SYNC, Wire, bind, error_of, execute, parse

NAMES = ["s1", "s2", "s3", ""]
PREPARED = ["SELECT 1", "SELECT $1::int", "SELECT 1/0", "SELECT nosuch", "INSERT INTO frames VALUES (1)", "BEGIN", "COMMIT", "ROLLBACK",
            "SELECT count(*) FROM frames WHERE false", "BEGIN READ ONLY", "SELECT 1 /*a='b'*/", "SET TRANSACTION READ ONLY"]
SIMPLE = ["SELECT 1", "DEALLOCATE s1", "DEALLOCATE s2", "DEALLOCATE ALL", "ROLLBACK", "SELECT 1/0", "BEGIN", "BEGIN READ ONLY", "COMMIT", "DISCARD ALL"]
PATIENCE = 10
SENTINEL = b"sentinel-4711"


def name_of(frame):
    """For people."""
    kind, body = frame
    return kind.decode() + (" " + repr(body.rstrip(b"\0").decode()) if body.strip(b"\0") else "")


def exchange(choose, mixed):
    """One write: several exchanges, the last of them ended. `mixed`: a Query may come where a Sync is due."""
    frames = []
    for _ in range(choose.randint(1, 9)):
        kind, name = choose.random(), choose.choice(NAMES)
        if kind < .28:
            frames.append(parse(name, choose.choice(PREPARED)))
        elif kind < .5:
            frames.append(bind(name, "", ["7"] if choose.random() < .3 else []))
        elif kind < .62:
            frames.append(execute())
        elif kind < .72:
            frames.append((b"C", b"S" + name.encode() + b"\0"))
        elif kind < .78:
            frames.append((b"D", b"S" + name.encode() + b"\0"))
        elif kind < .88:
            frames.append(SYNC)
        else:
            if not mixed and frames and frames[-1][0] not in (b"Q", b"S"):
                frames.append(SYNC)
            frames.append((b"Q", choose.choice(SIMPLE).encode() + b"\0"))
    return [*frames, SYNC, (b"Q", b"ROLLBACK\0")]


def state_of(error, seen):
    """In a transaction that has failed all is refused; for which of several reasons depends on what is looked at first."""
    ends = [each for each in seen if each.startswith("Z")]
    return "refused" if ends[-1:] == ["ZE"] else error_of(error)[:5]


def answers(wire, frames, seen):
    """What is answered to them, up to what a query behind them is answered: types, errors' states, and what ends a command or an exchange."""
    wire.send_all(*frames, (b"Q", b"SELECT '" + SENTINEL + b"'\0"))
    while True:
        kind, body = wire.read()
        if kind is None:
            return seen.append("closed")
        if kind == b"D" and SENTINEL in body:
            wire.until_ready()
            seen.pop()  # its description
            return None
        if kind in (b"N", b"S"):
            continue
        seen.append(kind.decode() + (state_of(body, seen) if kind == b"E" else body.rstrip(b"\0").decode() if kind in b"ZC" else ""))


def difference(direct, proxied, exchanges):
    """Of the first exchange that is answered otherwise through the proxy; None: there is none. `direct` and `proxied` make a Wire each."""
    with contextlib.closing(direct()) as one, contextlib.closing(proxied()) as other:
        for frames in exchanges:
            told = [[], []]
            for wire, seen in zip((one, other), told):
                wire.sock.settimeout(PATIENCE)
                try:
                    answers(wire, frames, seen)
                except OSError as error:
                    seen.append(repr(error))
            if told[0] != told[1]:
                return None if is_documented(*told) else told
    return None


def is_documented(direct, proxied):
    """What is prepared on other server connections cannot be described in a transaction that has failed (docs/sql.md): what comes behind is another state."""
    at = next((i for i, (one, other) in enumerate(zip(direct, proxied)) if one != other), 0)
    failed = [each for each in direct[:at] if each.startswith("Z")][-1:] == ["ZE"]
    return failed and direct[at][0] == "t" and proxied[at] == "Erefused"


def shrunk(differs, exchanges):
    """The same without what the difference does not need."""
    again = True
    while again:
        again = False
        for i in range(len(exchanges)):
            # Each write keeps its last Sync and the ROLLBACK behind it, or nothing behind an error would be answered.
            for j in [None, *range(len(exchanges[i]) - 2)]:
                fewer = exchanges[:i] + ([] if j is None else [exchanges[i][:j] + exchanges[i][j + 1:]]) + exchanges[i + 1:]
                if fewer and differs(fewer):
                    exchanges, again = fewer, True
                    break
            if again:
                break
    return exchanges


def told_of(exchanges, told):
    lines = [" ; ".join(map(name_of, frames)) for frames in exchanges]
    return "\n".join(["", *lines, f"direct: {told[0]}", f"proxy:  {told[1]}"])


def clients(seed, mixed):
    """Endlessly: what each of them sends, in several writes."""
    choose = random.Random(seed)
    while True:
        yield [exchange(choose, mixed) for _ in range(4)]


__all__ = ["Wire", "clients", "difference", "shrunk", "told_of"]
