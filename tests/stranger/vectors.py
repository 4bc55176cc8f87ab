"""Runs the stranger's reader over tests/vectors: `vectors.py DIRECTORY`. Ends with a line `N passed, M failed`."""

import ipaddress
import json
import sys
from pathlib import Path

import reader
from reader import Refused

# Objects longer than this are cut at so many places, evenly spread, instead of at every byte.
CUTS_MAX = 300

passed = 0
failed = []


def check(name, got, expected):
    global passed
    if got == expected:
        passed += 1
    else:
        failed.append(name)
        print(f"FAILED {name}\n  got      {str(got)[:400]}\n  expected {str(expected)[:400]}")


def wide(number):
    return str(number)


def case_bytes(case):
    return bytes.fromhex(case["bytes"]) + bytes(case.get("zeros_after", 0))


def verdict(read):
    """What bytes say, or why they are refused."""
    try:
        return {"accepted": read()}
    except Refused as refused:
        return {"refused": refused.why}


def run(path, read):
    """Runs the cases of a file; `read(case, bytes)` says what the bytes say."""
    file = json.loads((directory / path).read_text())
    for case in file["cases"]:
        data, name = case_bytes(case), f"{path}: {case['name']}"
        expected = {key: case[key] for key in ("accepted", "refused") if key in case}
        check(name, verdict(lambda: read(case, data)), expected)
        if "accepted" in case:
            step = -(-len(data) // CUTS_MAX)
            shapes = [data[:length] for length in range(0, len(data), step)] + [data + b"\0"]
            let_in = [len(shape) for shape in shapes if "accepted" in verdict(lambda: read(case, shape))]
            check(f"{name}, cut and extended", let_in, [])
    return file


def reference(case, data):
    named = case.get("reference")
    return reader.Reference(named["length"], bytes.fromhex(named["digest"])) if named else reader.Reference.to(data)


def describe_reference(reference):
    return reference and {"length": reference.length, "digest": reference.digest.hex()}


def describe_key(key):
    described = {"public": key["public"].hex(), "not_before": wide(key["not_before"]), "not_after": wide(key["not_after"])}
    return {**described, "role": key["role"]} if "role" in key else described


def describe_exceptions(exceptions):
    return {
        "organizations_suspended": exceptions[1], "projects_archived": exceptions[2],
        "projects_closed_to_externals": exceptions[3], "organizations_out_of_budget": exceptions[4],
        "projects_out_of_budget": exceptions[5],
    }  # fmt: skip


# --- one function a file -----------------------------------------------------------------------------------------


def root():
    held = {name: bytes.fromhex(data) for name, data in load("snapshot/root.json")["held"].items()}

    def read(case, data):
        held_root = reader.Root(held[case["held"]]) if case["held"] else None
        root = reader.Root(data, held_root)
        return {
            "installation": root.installation.hex(), "version": root.version, "issued": wide(root.issued),
            "thresholds": root.thresholds, "keys": [describe_key(key) for key in root.keys],
        }  # fmt: skip

    file = run("snapshot/root.json", read)
    successors = [bytes.fromhex(data) for data in file["successors"]]
    fetch = lambda version: successors[version - 1]
    for case in file["in_a_row"]:
        reach = lambda: reader.follow_successors(reader.Root(successors[0]), case["named"], fetch).version
        expected = {key: case[key] for key in ("accepted", "refused") if key in case}
        check(f"in a row: {case['name']}", verdict(reach), expected)


def head():
    roots = load("snapshot/head.json")["roots"]
    roots = {name: reader.Root(bytes.fromhex(data)) for name, data in roots.items()}
    subjects = {
        reader.TAG: lambda tag: {"tag": tag.hex()},
        reader.PROJECT: lambda number: {"project": number},
        reader.ORGANIZATION: lambda number: {"organization": number},
    }

    def previous(manifest, tip, until):
        return {"manifest": describe_reference(manifest), "tip": describe_reference(tip), "until": wide(until)}

    def read(case, data):
        head = reader.Head(data, roots[case["root"]])
        statement = head.statement
        newest = head.inline[-1][0] if head.inline else statement.generation
        inline = [
            {"generation": wide(generation), "reason": reader.REASONS[reason], "subject": subjects[kind](subject)}
            for generation, kind, subject, reason in head.inline
        ]
        return {
            "root_version": head.root_version, "as_of": wide(head.as_of), "digest": head.digest.hex(),
            "inline": inline, "newest_generation": wide(newest),
            "statement": {
                "installation": statement.installation.hex(), "generation": wide(statement.generation),
                "issued": wide(statement.issued), "use_by": wide(statement.use_by),
                "manifest": describe_reference(statement.manifest), "tip": describe_reference(statement.tip),
                "previous": statement.previous and previous(*statement.previous),
                "audit_size": wide(statement.audit_size), "audit_root": statement.audit_root.hex(),
            },
        }  # fmt: skip

    run("snapshot/head.json", read)


def order():
    rank = lambda head: (head["root_version"], int(head["generation"]), int(head["as_of"]))
    for case in load("snapshot/order.json")["cases"]:
        got = reader.outcome(rank(case["held"]), rank(case["came"]), case["bytes"] == "same")
        check(f"order: {case['name']}", got, case["held_one"])


def intake():
    file = load("snapshot/intake.json")
    for case in file["cases"]:
        held = reader.Intake((case["floor"]["root_version"], int(case["floor"]["generation"])))
        for at, step in enumerate(case["steps"]):
            generation, first = int(step["generation"]), int(step["inline"]["first"])
            entries = range(first, first + step["inline"]["count"])
            inline = [(entry, reader.ORGANIZATION, entry) for entry in entries]
            rank = (step["root_version"], generation, int(step["as_of"]))
            taken = verdict(lambda: held.take(rank, (rank, *inline), inline, int(file["now"]), step["vouches"]))
            if step["serves"]:
                held.serve(generation)
            got = [taken["refused"]["reason"] if "refused" in taken else "taken", len(held.inline)]
            check(f"intake: {case['name']}, step {at}", got, [step["outcome"], step["kept"]])


def place():
    def read(case):
        nodes, leaves = reader.Snapshot(bytes.fromhex(case["manifest"]), map(bytes.fromhex, case["objects"])).read_all()
        records = sum(len(leaf.entries if kind in reader.KINDS_OF_NAMES else leaf.records) for kind, leaf in leaves)
        return {"nodes": len(nodes), "pages": len(leaves), "records": records}

    for case in load("snapshot/place.json")["cases"]:
        expected = {key: case[key] for key in ("accepted", "refused") if key in case}
        check(f"place: {case['name']}", verdict(lambda: read(case)), expected)


def named(reference):
    return reference and reader.Reference(reference["length"], bytes.fromhex(reference["digest"]))


def held():
    file = load("snapshot/held.json")
    objects = [bytes.fromhex(data) for name in ("manifests", "objects", "deltas") for data in file[name]]
    for case in file["cases"]:
        follower = reader.Follower(bytes.fromhex(file["installation"]), bytes.fromhex(file["pepper"]), objects)
        for at, step in enumerate(case["steps"]):
            lacking = [bytes.fromhex(digest) for digest in step["lacking"]]
            follower.come(int(step["generation"]), named(step["manifest"]), named(step["tip"]), lacking)
            got = {
                "serves": wide(follower.generation), "exceptions": describe_exceptions(follower.exceptions()),
                "refused": sorted([kind, tag.hex(), how] for (kind, tag), (_, how) in follower.ahead.items()),
            }  # fmt: skip
            check(f"held back: {case['name']}, step {at}", got, {key: step[key] for key in got})


def routes():
    file = load("routes.json")
    for case in file["sets"]:
        try:
            got = {"accepted": len(reader.Routes(case["rules"]).rules)}
        except reader.RuleRefused as refused:
            got = {"refused": refused.why}
        check(f"rules: {case['name']}", got, {key: case[key] for key in ("accepted", "refused") if key in case})
    for case in file["paths"]:
        try:
            routes = reader.Routes(case.get("rules", file["rules"]))
            found = routes.find(case["host"], case["method"], case["path"].encode("latin-1"))
            rule, label, parameters = found or (None, None, None)
            got = {"rule": rule, "label": label, "parameters": parameters}
        except reader.PathRefused as refused:
            got = {"refused": str(refused)}
        check(f"path: {case['path']}", got, {key: case[key] for key in ("rule", "label", "parameters", "refused") if key in case})
    for case in file["queries"]:
        try:
            got = {"value": reader.query_value(case["query"].encode("latin-1"), case["name"])}
        except reader.PathRefused as refused:
            got = {"refused": str(refused)}
        check(f"query: {case['query']}", got, {key: case[key] for key in ("value", "refused") if key in case})
    for case in file["bodies"]:
        got = reader.body_text(bytes.fromhex(case["seen"]), case["more"], case["field"])
        check(f"body: {case['seen']}", got, case["text"])


def manifest():
    def section(section):
        nodes = [{"first_place": wide(first), "node": describe_reference(node)} for first, node in section["nodes"]]
        return {"kind": section["kind"], "records": wide(section["records"]), "nodes": nodes}

    def canary(canary):
        expected = canary.expected and {**canary.expected, "permissions": f"{canary.expected['permissions']:032x}"}
        return {
            "kind": canary.kind, "place": wide(canary.place), "bucket_hash": canary.b, "tag": canary.tag.hex(),
            "expected": expected,
        }  # fmt: skip

    def read(case, data):
        manifest = reader.Manifest(reference(case, data), data)
        return {
            "installation": manifest.installation.hex(), "generation": wide(manifest.generation),
            "pepper_id": manifest.pepper_id.hex(), "grace": manifest.grace, "prefix": manifest.prefix,
            "sections": [section(one) for one in manifest.sections],
            "exceptions": describe_exceptions(manifest.exceptions),
            "session_keys": [describe_key(key) for key in manifest.session_keys],
            "edge_keys": [describe_key(key) for key in manifest.edge_keys],
            "canaries": [canary(one) for one in manifest.canaries], "cors": manifest.cors,
            "routing": manifest.version.hex(), "rules": manifest.rules,
        }  # fmt: skip

    run("snapshot/manifest.json", read)


def node():
    def read(case, data):
        node = reader.Node(case["kind"], reference(case, data), data)
        page = lambda first, records, page: {
            "first_place": wide(first), "records": records, "page": describe_reference(page),
        }  # fmt: skip
        return {"kind": node.kind, "pages": [page(*one) for one in node.pages]}

    run("snapshot/node.json", read)


MATCHINGS = {reader.EXACT: "exact", reader.PREFIX: "prefix"}


def describe_entry(entry):
    if entry is None:
        return None
    narrowing = entry["narrowing"]
    return {
        **entry, "permissions": f"{entry['permissions']:032x}",
        "narrowing": narrowing and describe_narrowing(narrowing),
    }  # fmt: skip


def describe_narrowing(narrowing):
    resource = lambda type_, matching, text: [reader.RESOURCE_TYPES[type_], MATCHINGS[matching], text]
    return {
        "rate": narrowing.rate or None,
        "family": reader.encode_base62(narrowing.family, 11) if narrowing.rate else None,
        "networks": [f"{address.hex()}/{length}" for length, _, address in narrowing.networks],
        "resources": [resource(*one) for one in narrowing.resources],
        "models": [[MATCHINGS[matching], text] for matching, text in narrowing.models],
    }


def allowed(narrowing, questions):
    types = {word: type_ for type_, word in reader.RESOURCE_TYPES.items()}
    address = lambda text: narrowing.allows_address(text and ipaddress.ip_address(text).packed)
    resource = lambda named: narrowing.allows_resource(*((types[named[0]], named[1]) if named else (None, None)))
    return {
        "addresses": [address(text) for text in questions["addresses"]],
        "resources": [resource(named) for named in questions["resources"]],
        "models": [narrowing.allows_model(name) for name in questions["models"]],
    }


def page():
    def read(case, data):
        page = reader.Page(case["kind"], reference(case, data), data)
        asked = case["accepted"]["entries"] if "accepted" in case else []
        return {"records": len(page.records), "entries": [found(page, one) for one in asked]}

    def found(page, asked):
        entry = page.find(bytes.fromhex(asked["tag"]), asked["bucket_hash"])
        answers = {"allowed": allowed(entry["narrowing"], questions)} if entry["narrowing"] else {}
        return {**describe_entry(entry), "tag": asked["tag"], "bucket_hash": asked["bucket_hash"], **answers}

    questions = load("snapshot/page.json")["questions"]

    for count in run("snapshot/page.json", read)["bucket_counts"]:
        check(f"buckets of {count['records']}", reader.bucket_count(count["records"]), count["buckets"])


def names():
    run("snapshot/names.json", lambda case, data: reader.Names(case["kind"], reference(case, data), data).entries)


def describe_refusals(refusals):
    removal = lambda kind, tag, reason: [kind, reader.REMOVAL_REASONS[reason], tag.hex()]
    return {
        "installation": refusals.installation.hex(), "pepper_id": refusals.pepper_id.hex(),
        "base": describe_reference(refusals.base), "from": wide(refusals.from_),
        "generation": wide(refusals.generation), "parent": describe_reference(refusals.parent),
        "begun": describe_exceptions(refusals.begun),
        "removals": [removal(*one, reason) for one, reason in refusals.removals.items()],
    }  # fmt: skip


def delta():
    def records(page):
        return [{**describe_entry(page.entry(at)), "tag": page.records[at][0].hex()} for at in range(len(page.records))]

    def read(case, data):
        named = reference(case, data)
        alone = verdict(lambda: describe_refusals(reader.Refusals(named, data)))
        if "refused" in case:
            expected = {"accepted": case["alone"]} if case["alone"] else {"refused": case["refused"]}
            check(f"refusals alone: {case['name']}", alone, expected)
        delta = reader.Delta(named, data)
        pages = [page for page in delta.pages if page[0] not in reader.KINDS_OF_NAMES]
        return {
            **alone["accepted"], "ended": describe_exceptions(delta.ended),
            "pages": [{"kind": kind, "first_place": wide(first), "records": records(page)} for kind, first, page in pages],
            "names": [page.entries for kind, _, page in delta.pages if kind in reader.KINDS_OF_NAMES],
        }  # fmt: skip

    run("snapshot/delta.json", read)


def chain():
    file = load("snapshot/chain.json")
    pepper, installation = bytes.fromhex(file["pepper"]), bytes.fromhex(file["installation"])
    manifests = {reader.blake3(data).digest(): data for data in map(bytes.fromhex, file["manifests"])}
    objects = [bytes.fromhex(data) for name in ("objects", "deltas") for data in file[name]]

    def answer(snapshot, asked):
        if asked["kind"] in reader.KINDS_OF_NAMES:
            found = snapshot.names(asked["kind"], asked["number"])
        else:
            found = describe_entry(snapshot.find(question(pepper, asked)))
        return found and file["found"].index(found)

    def read(case):
        way = case["previous"] if case.get("by") == "previous" else case
        base = named(way["manifest"])
        snapshot = reader.Snapshot(manifests[base.digest], objects)
        snapshot.follow(installation, int(case["generation"]), base, named(way["tip"]))
        return {
            "deltas": len(snapshot.deltas), "exceptions": describe_exceptions(snapshot.exceptions()),
            "answers": [answer(snapshot, asked) for asked in file["questions"]],
        }  # fmt: skip

    for case in file["cases"]:
        expected = {key: case[key] for key in ("accepted", "refused") if key in case}
        check(f"chain: {case['name']}", verdict(lambda: read(case)), expected)


def question(pepper, asked):
    if asked["kind"] == reader.NATIVE_KEY:
        id_ = reader.decode_base62(asked["id"].encode())
        return reader.Question.of_key(pepper, id_, bytes.fromhex(asked["digest"]))
    if asked["kind"] == reader.IMPORTED_KEY:
        return reader.Question.of_imported_key(pepper, asked["text"])
    if asked["kind"] == reader.MEMBERSHIP:
        return reader.Question.of_membership(pepper, asked["identity"], asked["organization"])
    if asked["kind"] == reader.COLLABORATION:
        return reader.Question.of_collaboration(pepper, asked["identity"], asked["project"])
    if asked["kind"] == reader.ENDED_SESSION:
        return reader.Question.of_session(pepper, asked["session"])
    if asked["kind"] == reader.RESOURCE:
        return reader.Question.of_resource(pepper, asked["project"], asked["type"], asked["id"])
    return reader.Question.of_project(pepper, asked["text"])


def lookup():
    file = load("snapshot/lookup.json")
    pepper = bytes.fromhex(file["pepper"])
    snapshot = reader.Snapshot(bytes.fromhex(file["manifest"]), map(bytes.fromhex, file["objects"]))
    check("pepper id", reader.pepper_id(pepper).hex(), file["pepper_id"])
    check("manifest's pepper id", snapshot.manifest.pepper_id.hex(), file["pepper_id"])

    digest = lambda page: page and page[2].digest.hex()
    for case in file["records"]:
        asked = question(pepper, case["asked"])
        got = {
            "name": case["name"], "asked": case["asked"], "tag": asked.tag.hex(), "place": wide(asked.place),
            "bucket_hash": asked.b, "page": digest(snapshot.page(asked.kind, asked.place)),
            "found": describe_entry(snapshot.find(asked)),
        }  # fmt: skip
        check(f"look-up: {case['name']}", got, case)
    for case in file["names"]:
        kind, number = case["asked"]["kind"], case["asked"]["number"]
        got = {
            "asked": case["asked"], "place": wide(number << 32), "page": digest(snapshot.page(kind, number << 32)),
            "found": snapshot.names(kind, number),
        }  # fmt: skip
        check(f"names: {case['asked']}", got, case)


def key_format():
    file = load("key-format.json")
    mint = bytes.fromhex(file["mint_secret"])
    text_or_none = lambda number: None if number is None else wide(number)
    for case in file["base62"]:
        check(f"base62 {case['text']}", text_or_none(reader.decode_base62(case["text"].encode())), case["number"])
    for case in file["prefixes"]:
        check(f"prefix {case['text']}", reader.why_no_prefix(case["text"]), case["refused"])
    for case in file["hints"]:
        check(f"hint of {case['number']}", reader.hint(case["number"]), case["hint"])
    for case in file["keys"]:
        text = reader.make_key(case["prefix"], int(case["id_number"]), case["secret"], mint)
        check(f"key {case['id']}", text, case["text"])
        key = reader.KeyText(text.encode(), case["prefix"])
        got = [key.id, key.id_number >> 48, key.mint_check, text[-6:], key.digest().hex()]
        check(f"parts of key {case['id']}", got, [case[name] for name in ("id", "hint", "mint_check", "checksum", "digest")])
    for case in file["texts"]:
        try:
            key = reader.KeyText(bytes.fromhex(case["text"]), case["prefix"])
            got = {
                "id": key.id, "hint": key.id_number >> 48, "digest": key.digest().hex(),
                "minted": key.is_minted(mint),
            }  # fmt: skip
        except Refused as refused:
            got = refused.why["reason"]
        check(f"text: {case['name']}", got, case.get("accepted", case.get("refused")))
    secret = reader.generation_secret(mint)
    for case in file["generation_tokens"]:
        got = text_or_none(reader.read_token(case["token"].encode(), secret))
        check(f"token {case['token']}", got, case["generation"])


def session_token():
    file = load("session-token.json")
    times = lambda key: {name: int(key[name]) for name in ("not_before", "not_after")}
    keys = [{"public": bytes.fromhex(key["public"]), **times(key)} for key in file["keys"]]
    for case in file["cases"]:
        try:
            token = reader.SessionToken(case["text"], bytes.fromhex(file["installation"]), keys, int(case["now"]))
            got = {"session": token.session, "identity": token.identity, "expires": wide(token.expires)}
        except Refused as refused:
            got = refused.why["reason"]
        check(f"session token: {case['name']}", got, case.get("accepted", case.get("refused")))


def load(path):
    return json.loads((directory / path).read_text())


FILES = {
    "key-format.json": key_format, "routes.json": routes, "session-token.json": session_token, "snapshot/root.json": root, "snapshot/head.json": head,
    "snapshot/order.json": order, "snapshot/intake.json": intake, "snapshot/place.json": place, "snapshot/manifest.json": manifest, "snapshot/node.json": node,
    "snapshot/page.json": page, "snapshot/names.json": names, "snapshot/delta.json": delta, "snapshot/chain.json": chain,
    "snapshot/held.json": held,
    "snapshot/lookup.json": lookup,
}  # fmt: skip

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    found = {str(path.relative_to(directory)) for path in directory.rglob("*.json")}
    check("every file of vectors is run", sorted(FILES), sorted(found))
    for path, test in FILES.items():
        if path in found:
            test()
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)
