"""A reader of Latchkey's keys and snapshots, written from docs/spec alone.

It knows nothing of the Rust code. Where it had to guess, the specification was changed. `vectors.py` runs it over
tests/vectors. BLAKE3 comes from PyPI; Ed25519 is here, since the specification asks for more than most libraries check.
"""

import hashlib
import unicodedata
import zlib
from bisect import bisect_right

from blake3 import blake3

# --- conventions -------------------------------------------------------------------------------------------------


class Refused(Exception):
    """Bytes that are not what they should be: a field and its fault, or a reason that lies in no field."""

    def __init__(self, object_, **why):
        super().__init__(object_, why)
        self.why = {"object": object_, **why}


class Cursor:
    """A position in the bytes of one object."""

    def __init__(self, object_, magic, data):
        self.object, self.data, self.at = object_, data, 0
        if self.take("magic", 4) != magic:
            self.refuse("magic", "magic")

    def refuse(self, field, fault):
        raise Refused(self.object, field=field, fault=fault)

    def ensure(self, holds, field, fault="out of range"):
        if not holds:
            self.refuse(field, fault)

    def take(self, field, length):
        part = self.data[self.at : self.at + length]
        self.ensure(len(part) == length, field, "truncated")
        self.at += length
        return part

    def number(self, field, length):
        return int.from_bytes(self.take(field, length), "little")

    def text(self, field, least, most):
        length = self.number(field, 2)
        self.ensure(least <= length <= most, field)
        try:
            return self.take(field, length).decode("utf-8")
        except UnicodeDecodeError:
            self.refuse(field, "not utf-8")

    def many(self, count, field, read, key):
        """`count` things that ascend by `key`."""
        found = []
        for _ in range(count):
            found.append(read())
            self.ensure(len(found) < 2 or key(found[-2]) < key(found[-1]), field, "not ascending")
        return found

    def part(self, field, length):
        """The next `length` bytes as a cursor of their own, which ends with them."""
        part = object.__new__(Cursor)
        part.object, part.data, part.at = self.object, self.take(field, length), 0
        return part

    def finish(self, field="end"):
        self.ensure(self.at == len(self.data), field, "trailing")


def derive(context, material):
    return blake3(material, derive_key_context=context).digest()


def keyed(key, message):
    return blake3(message, key=key).digest()


def is_made_of(text, alphabet):
    return all(character in alphabet for character in text)


SMALL = "abcdefghijklmnopqrstuvwxyz"
CAPITALS = SMALL.upper()
DIGITS = "0123456789"
BASE62 = DIGITS + CAPITALS + SMALL

# --- Ed25519, RFC 8032, verified strictly ------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(number, point):
    result = NEUTRAL
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def is_same_point(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def is_of_small_order(point):
    return is_same_point(multiply(8, point), NEUTRAL)


def decode_point(data):
    """The point that 32 bytes encode (RFC 8032, 5.1.3), or None."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == P - u:
        x = x * ROOT_OF_MINUS_ONE % P
    if v * x * x % P != u % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def encode_point(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_valid_signature(public, message, signature):
    r_bytes, s = signature[:32], int.from_bytes(signature[32:], "little")
    r, a = decode_point(r_bytes), decode_point(public)
    if s >= ORDER or r is None or a is None or is_of_small_order(r) or is_of_small_order(a):
        return False
    k = int.from_bytes(hashlib.sha512(r_bytes + public + message).digest(), "little") % ORDER
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return encode_point(add(multiply(s, BASE), multiply(k, minus_a))) == r_bytes


def read_public_key(cursor):
    public = cursor.take("public key", 32)
    point = decode_point(public)
    cursor.ensure(point is not None and not is_of_small_order(point), "public key")
    return public


# --- signatures --------------------------------------------------------------------------------------------------

DOMAINS = {name: f"latchkey {name} v1".encode() + b"\0" for name in ("root", "statement", "head")}


def signer_id(public):
    return derive("latchkey signing key id v1", public)[:8]


def read_signatures(cursor):
    count = cursor.number("signatures", 1)
    cursor.ensure(1 <= count <= 8, "signatures")
    entry = lambda: (cursor.take("signatures", 8), cursor.take("signatures", 64))
    return cursor.many(count, "signatures", entry, key=lambda entry: entry[0])


def vouch(keys, threshold, domain, signed, signatures):
    entries = dict(signatures)
    valid = 0
    for public in keys:
        signature = entries.get(signer_id(public))
        valid += signature is not None and is_valid_signature(public, DOMAINS[domain] + signed, signature)
    return valid >= threshold


# --- root --------------------------------------------------------------------------------------------------------

OFFLINE, RELEASE, HEAD = 1, 2, 3


class Root:
    def __init__(self, data, held=None):
        """The pinned root, or the successor of `held`."""
        if len(data) > 8192:
            raise Refused("root", reason="too long")
        cursor = Cursor("root", b"LKR1", data)
        self.installation = cursor.take("installation", 16)
        self.version = cursor.number("version", 4)
        cursor.ensure(self.version >= 1, "version")
        self.issued = cursor.number("issued", 8)
        self.thresholds = list(cursor.take("thresholds", 3))
        count = cursor.number("key count", 1)
        cursor.ensure(count <= 32, "key count")
        self.keys = cursor.many(count, "keys", lambda: self.read_key(cursor), key=lambda key: key["public"])
        for role, threshold in zip((OFFLINE, RELEASE, HEAD), self.thresholds):
            of_role = sum(key["role"] == role for key in self.keys)
            cursor.ensure(1 <= threshold <= min(8, of_role), "thresholds")
        signed = data[: cursor.at]
        signatures = read_signatures(cursor)
        cursor.finish()
        if held and self.installation != held.installation:
            raise Refused("root", reason="installation")
        if held and self.version != held.version + 1:
            raise Refused("root", reason="version")
        if held and self.issued < held.issued:
            raise Refused("root", reason="issued")
        if not self.vouches(OFFLINE, self.issued, "root", signed, signatures):
            raise Refused("root", reason="own signatures")
        if held and not held.vouches(OFFLINE, self.issued, "root", signed, signatures):
            raise Refused("root", reason="predecessor signatures")

    @staticmethod
    def read_key(cursor):
        key = {"public": read_public_key(cursor), "role": cursor.number("key role", 1)}
        cursor.ensure(key["role"] in (OFFLINE, RELEASE, HEAD), "key role")
        return {**key, **read_validity(cursor)}

    def vouches(self, role, at, domain, signed, signatures):
        is_valid = lambda key: key["role"] == role and key["not_before"] <= at <= key["not_after"]
        keys = [key["public"] for key in self.keys if is_valid(key)]
        return vouch(keys, self.thresholds[role - 1], domain, signed, signatures)


def read_validity(cursor):
    not_before, not_after = cursor.number("not before", 8), cursor.number("not after", 8)
    cursor.ensure(not_before <= not_after, "not after")
    return {"not_before": not_before, "not_after": not_after}


# --- head and statement ------------------------------------------------------------------------------------------

REASONS = {1: "expired", 2: "revoked", 3: "disabled", 4: "suspended"}
TAG, PROJECT, ORGANIZATION = 1, 2, 3


class Statement:
    def __init__(self, data):
        cursor = Cursor("statement", b"LKS3", data)
        self.installation = cursor.take("installation", 16)
        self.generation = cursor.number("generation", 8)
        self.issued = cursor.number("issued", 8)
        self.use_by = cursor.number("use by", 8)
        cursor.ensure(self.issued < self.use_by <= self.issued + 86400, "use by")
        self.manifest = read_reference(cursor, "manifest", 4194304)
        self.tip = read_optional_reference(cursor, "delta tip", 1_048_576)
        self.previous = self.read_previous(cursor)
        self.audit_size = cursor.number("audit size", 8)
        self.audit_root = cursor.take("audit root", 32)
        self.signed = data[: cursor.at]
        self.signatures = read_signatures(cursor)
        cursor.finish()

    def read_previous(self, cursor):
        """(manifest, delta tip, until), or None"""
        part = cursor.part("previous", 80)
        if not any(part.data):
            return None
        manifest = read_reference(part, "previous manifest", 4_194_304)
        part.ensure(manifest != self.manifest, "previous manifest", "not canonical")
        tip = read_reference(part, "previous delta tip", 1_048_576)
        until = part.number("previous until", 8)
        part.ensure(self.issued < until <= self.issued + 86400, "previous until")
        return manifest, tip, until


class Head:
    def __init__(self, data, root):
        if len(data) > 4096:
            raise Refused("head", reason="too long")
        cursor = Cursor("head", b"LKH1", data)
        self.root_version = cursor.number("root version", 4)
        self.as_of = cursor.number("as of", 8)
        length = cursor.number("statement length", 2)
        self.statement = Statement(cursor.take("statement", length))
        count = cursor.number("inline count", 1)
        cursor.ensure(count <= 64, "inline count")
        self.inline = cursor.many(count, "inline", lambda: self.read_inline(cursor), key=lambda entry: entry[:3])
        signed = data[: cursor.at]
        signatures = read_signatures(cursor)
        cursor.finish()
        self.digest = blake3(signed).digest()
        self.verify(root, signed, signatures)

    def read_inline(self, cursor):
        """(generation, kind, subject, reason)"""
        generation = cursor.number("inline generation", 8)
        kind = cursor.number("inline subject kind", 1)
        reason = cursor.number("inline reason", 1)
        subject = cursor.take("inline subject", 10)
        cursor.ensure(generation > self.statement.generation, "inline generation")
        cursor.ensure(kind in (TAG, PROJECT, ORGANIZATION), "inline subject kind")
        cursor.ensure(reason in REASONS, "inline reason")
        if kind != TAG:
            cursor.ensure(not any(subject[4:]), "inline subject", "not canonical")
            subject = int.from_bytes(subject[:4], "little")
        return generation, kind, subject, reason

    def verify(self, root, signed, signatures):
        statement = self.statement
        if self.root_version != root.version:
            raise Refused("head", reason="root version")
        if statement.installation != root.installation:
            raise Refused("head", reason="installation")
        if not root.vouches(HEAD, self.as_of // 1000, "head", signed, signatures):
            raise Refused("head", reason="head signatures")
        if not root.vouches(RELEASE, statement.issued, "statement", statement.signed, statement.signatures):
            raise Refused("head", reason="statement signatures")


def outcome(held, came, is_same):
    """What becomes of the held head; ranks are (root version, generation, as of)."""
    if came > held:
        return "replaced"
    return "stays" if came < held or is_same else "stays and is reported"


# --- objects that others name ------------------------------------------------------------------------------------


class Reference:
    def __init__(self, length, digest):
        self.length, self.digest = length, digest

    @classmethod
    def to(cls, data):
        return cls(len(data), blake3(data).digest())

    def __eq__(self, other):
        return (self.length, self.digest) == (other.length, other.digest)

    def admit(self, object_, data):
        if len(data) != self.length:
            raise Refused(object_, reason="length")
        if blake3(data).digest() != self.digest:
            raise Refused(object_, reason="digest")
        return data


def read_reference(cursor, field, most):
    length = cursor.number(field, 4)
    cursor.ensure(0 < length <= most, field)
    return Reference(length, cursor.take(field, 32))


def read_optional_reference(cursor, field, most):
    part = cursor.part(field, 36)
    return read_reference(part, field, most) if any(part.data) else None


NATIVE_KEY, IMPORTED_KEY, RESOURCE, PROJECT_REFERENCE, PROJECT_NAMES, ORGANIZATION_NAMES = range(1, 7)
MEMBERSHIP, COLLABORATION, ENDED_SESSION = range(7, 10)
KINDS = range(1, 10)
KINDS_OF_NAMES = (PROJECT_NAMES, ORGANIZATION_NAMES)
KINDS_OF_KEYS = (NATIVE_KEY, IMPORTED_KEY)
KINDS_WITH_ROLE = (*KINDS_OF_KEYS, MEMBERSHIP, COLLABORATION)
RESOURCE_TYPES = {1: "cluster", 2: "volume", 3: "model", 4: "endpoint", 5: "evaluation", 6: "file"}
PERMISSIONS = {
    0: "org.settings.read", 1: "org.settings.write", 2: "org.billing.read", 3: "org.billing.write",
    4: "org.usage.read", 5: "org.projects.list", 6: "org.projects.create", 7: "org.projects.set_visibility",
    8: "org.projects.archive", 9: "org.projects.delete", 10: "org.members.read", 11: "org.members.invite",
    12: "org.members.remove", 13: "org.members.manage_roles", 14: "org.sso.manage", 15: "org.audit.read",
    20: "project.settings.read", 21: "project.settings.write", 22: "project.external.write",
    23: "project.usage.read", 24: "keys.read", 25: "keys.create", 26: "keys.revoke", 27: "collaborators.read",
    28: "collaborators.add", 29: "collaborators.remove", 30: "collaborators.manage_roles",
    40: "clusters.view", 41: "clusters.ssh", 42: "clusters.kubectl", 43: "clusters.dashboard",
    44: "clusters.slurm", 45: "clusters.create", 46: "clusters.delete", 47: "clusters.scale",
    48: "clusters.modify", 49: "clusters.admin_kubeconfig", 50: "volumes.view", 51: "volumes.read",
    52: "volumes.write", 53: "volumes.create", 54: "volumes.resize", 55: "volumes.delete",
    56: "models.view", 57: "models.create", 58: "models.modify", 59: "models.delete",
    60: "endpoints.view", 61: "endpoints.create", 62: "endpoints.modify", 63: "endpoints.delete",
    64: "endpoints.invoke", 65: "evaluations.view", 66: "evaluations.create", 67: "evaluations.delete",
    68: "files.view", 69: "files.read", 70: "files.create", 71: "files.delete", 72: "inference.invoke",
    73: "fine_tuning.create", 74: "fine_tuning.view", 75: "fine_tuning.cancel", 76: "batch.create",
    77: "batch.view", 78: "batch.cancel",
}  # fmt: skip
PERMISSION_BITS = sum(1 << number for number in PERMISSIONS)


def read_exceptions(cursor):
    """Numbers by class."""
    count = cursor.number("exception class count", 1)
    cursor.ensure(count <= 5, "exception class count")
    exceptions = {class_: [] for class_ in range(1, 6)}
    last = 0
    for _ in range(count):
        class_ = cursor.number("exception class", 1)
        cursor.ensure(class_ in exceptions, "exception class")
        cursor.ensure(class_ > last, "exception class", "not ascending")
        last = class_
        count = cursor.number("exception count", 4)
        cursor.ensure(count > 0, "exception count")
        number = lambda: cursor.number("exceptions", 4)
        exceptions[class_] = cursor.many(count, "exceptions", number, key=lambda number: number)
    return exceptions


class Canary:
    """A question (`kind`, `place`, `b`, `tag`) and what must come out: None, or what a record says."""

    def __init__(self, cursor):
        self.kind = cursor.number("canary kind", 1)
        cursor.ensure(self.kind in KINDS and self.kind not in KINDS_OF_NAMES, "canary kind")
        self.place = cursor.number("canary place", 8)
        self.b = cursor.number("canary bucket hash", 4)
        self.tag = cursor.take("canary tag", 10)
        found = cursor.number("canary found", 1)
        cursor.ensure(found in (0, 1), "canary found")
        field = "canary expected"
        part = cursor.part(field, 26)
        self.expected = None
        if not found:
            part.ensure(not any(part.data), field, "not canonical")
            return
        is_key, has_role = self.kind in KINDS_OF_KEYS, self.kind in KINDS_WITH_ROLE
        project, organization = part.number(field, 4), part.number(field, 4)
        role, state, permissions = part.number(field, 1), part.number(field, 1), part.number(field, 16)
        part.ensure(project == 0 or self.kind not in (MEMBERSHIP, ENDED_SESSION), field)
        part.ensure(organization == 0 or self.kind != ENDED_SESSION, field)
        part.ensure(role in ROLES if has_role else role == 0, field)
        part.ensure(state in STATES if is_key else state == 0, field)
        part.ensure(permissions & ~PERMISSION_BITS == 0 and (is_key or permissions == 0), field)
        self.expected = {
            "project": project, "organization": organization, "role": ROLES.get(role), "permissions": permissions,
            "state": STATES[state],
        }  # fmt: skip

    def holds(self, found):
        said = found and {name: found[name] for name in ("project", "organization", "role", "permissions", "state")}
        return said == self.expected


class Manifest:
    def __init__(self, reference, data):
        cursor = Cursor("manifest", b"LKM4", reference.admit("manifest", data))
        cursor.ensure(len(data) <= 4_194_304, "end")
        self.installation = cursor.take("installation", 16)
        self.generation = cursor.number("generation", 8)
        self.pepper_id = cursor.take("pepper id", 8)
        self.grace = cursor.number("grace", 4)
        cursor.ensure(self.grace <= 86_400, "grace")
        self.prefix = cursor.text("key prefix", 2, 12)
        cursor.ensure(why_no_prefix(self.prefix) is None, "key prefix")
        count = cursor.number("section count", 1)
        cursor.ensure(count <= 9, "section count")
        self.sections = cursor.many(count, "sections", lambda: self.read_section(cursor), key=lambda one: one["kind"])
        self.exceptions = read_exceptions(cursor)
        self.session_keys = self.read_token_keys(cursor, "session key count")
        self.edge_keys = self.read_token_keys(cursor, "edge key count")
        count = cursor.number("canary count", 1)
        cursor.ensure(count <= 16, "canary count")
        order = lambda canary: (canary.kind, canary.tag)
        self.canaries = cursor.many(count, "canaries", lambda: Canary(cursor), key=order)
        self.version = blake3(data[cursor.at :]).digest()
        self.cors = self.read_cors(cursor)
        count = cursor.number("rule count", 2)
        cursor.ensure(count <= 4096, "rule count")
        order = lambda rule: tuple((rule[of] or "").encode() for of in ("host", "pattern", "method"))
        self.rules = cursor.many(count, "rules", lambda: self.read_rule(cursor), key=order)
        cursor.finish()

    @staticmethod
    def read_section(cursor):
        kind = cursor.number("section kind", 1)
        cursor.ensure(kind in KINDS, "section kind")
        records = cursor.number("section records", 8)
        cursor.ensure(records > 0, "section records")
        count = cursor.number("node count", 2)
        cursor.ensure(count > 0, "node count")
        node = lambda: (cursor.number("node first place", 8), read_reference(cursor, "node", 12295))
        nodes = cursor.many(count, "nodes", node, key=lambda node: node[0])
        return {"kind": kind, "records": records, "nodes": nodes}

    @staticmethod
    def read_token_keys(cursor, field):
        count = cursor.number(field, 1)
        cursor.ensure(count <= 8, field)
        key = lambda: {"public": read_public_key(cursor), **read_validity(cursor)}
        return cursor.many(count, "public key", key, key=lambda key: key["public"])

    @staticmethod
    def read_cors(cursor):
        said = cursor.number("cors", 1)
        cursor.ensure(said in (0, 1), "cors")
        if not said:
            return None

        def read_list(field, len_max, is_right):
            count = cursor.number(field, 1)
            cursor.ensure(count <= 64, field)

            def one():
                text = cursor.text(field, 1, len_max)
                cursor.ensure(is_right(text), field)
                return text

            return cursor.many(count, field, one, key=str.encode)

        origins = read_list("cors origin", 255, lambda text: text == "*" or is_origin(text))
        cursor.ensure(origins, "cors origin")
        cursor.ensure("*" not in origins or len(origins) == 1, "cors origin", "not canonical")
        is_header = lambda text: is_made_of(text, SMALL + DIGITS + "-")
        headers = read_list("cors header", 64, is_header)
        exposed = read_list("cors exposed header", 64, is_header)
        max_age = cursor.number("cors max age", 4)
        cursor.ensure(max_age <= 86400, "cors max age")
        return {"origins": origins, "headers": headers, "exposed": exposed, "max_age_secs": max_age}

    @staticmethod
    def read_rule(cursor):
        host = cursor.text("rule host", 0, 253)
        cursor.ensure(not host or is_host(host), "rule host")
        pattern = cursor.text("rule pattern", 1, 512)
        cursor.ensure(pattern.startswith("/"), "rule pattern")
        method = cursor.text("rule method", 1, 16)
        cursor.ensure(is_made_of(method, CAPITALS), "rule method")
        credential = cursor.number("rule credential", 1)
        cursor.ensure(credential in (0, 1), "rule credential")
        access = cursor.number("rule access", 1)
        cursor.ensure(access in (0, 1), "rule access")
        rule = {
            "host": host or None, "method": method, "pattern": pattern, "keep_credential": credential == 1,
            "permission": None,
        }  # fmt: skip
        if not access:
            return rule
        permission = cursor.number("rule permission", 1)
        cursor.ensure(permission in PERMISSIONS, "rule permission")
        freshness = cursor.number("rule freshness", 1)
        cursor.ensure(freshness in (0, 1), "rule freshness")

        credentials = cursor.number("rule credentials", 1)
        cursor.ensure(credentials in (1, 2, 3), "rule credentials")

        def read_source(field, kinds):
            kind = cursor.number(field, 1)
            cursor.ensure(kind in kinds, field)
            if not kind:
                return None
            name = cursor.text("rule source name", 1, 64)
            alphabet, longest = SOURCE_NAMES[kind]
            cursor.ensure(is_made_of(name, alphabet) and len(name) <= longest, "rule source name")
            return {SOURCES[kind]: name}

        project = read_source("rule project source", (0, 1, 2, 3, 4))
        type_ = cursor.number("rule resource type", 1)
        cursor.ensure(type_ == 0 or type_ in RESOURCE_TYPES, "rule resource type")
        resource = None
        if type_:
            resource = {"type": RESOURCE_TYPES[type_], "source": read_source("rule resource source", (1, 2, 3, 4))}
        model = read_source("rule model source", (0, 1, 2, 3, 4, 5))
        shadow = cursor.number("rule shadow", 8)
        return {
            **rule, "permission": PERMISSIONS[permission], "fresh_only": freshness == 1, "project": project,
            "resource": resource, "keys": credentials in (1, 3), "sessions": credentials in (2, 3), "model": model,
            "shadow_until": str(shadow) if shadow else None,
        }  # fmt: skip


class Node:
    def __init__(self, kind, reference, data):
        cursor = Cursor("node", b"LKN2", reference.admit("node", data))
        self.kind = cursor.number("kind", 1)
        cursor.ensure(self.kind == kind, "kind")
        count = cursor.number("page count", 2)
        cursor.ensure(1 <= count <= 256, "page count")
        self.pages = cursor.many(count, "first place", lambda: self.read_page(cursor, kind), key=lambda page: page[0])
        cursor.finish()

    @staticmethod
    def read_page(cursor, kind):
        """(first place, records, reference)"""
        first_place = cursor.number("first place", 8)
        length = cursor.number("page length", 4)
        most = 149001 if kind in KINDS_OF_NAMES else 218174
        cursor.ensure(0 < length <= most, "page length")
        records = cursor.number("record count", 4)
        cursor.ensure(records > 0, "record count")
        return first_place, records, Reference(length, cursor.take("page digest", 32))


NEVER = 0xFFFFFF
STATES = {0: "active", 1: "disabled", 2: "revoked"}
OUT_OF_BUDGET, EXTERNAL = 4, 8
ROLES = {1: "member", 2: "admin"}


def are_flags(kind, flags, expiry):
    """Whether a record of the kind may have these flags beside this expiry."""
    if kind in KINDS_OF_KEYS:
        return flags & ~OUT_OF_BUDGET in STATES
    if kind == COLLABORATION:
        return flags == EXTERNAL or (flags == 0 and expiry == NEVER)
    return flags == 0 and (expiry != NEVER) == (kind == ENDED_SESSION)


class Page:
    def __init__(self, kind, reference, data):
        cursor = Cursor("page", b"LKP2", reference.admit("page", data))
        self.kind = cursor.number("kind", 1)
        cursor.ensure(self.kind == kind and kind not in KINDS_OF_NAMES, "kind")
        sets = cursor.number("permission set count", 1)
        bindings = cursor.number("binding count", 2)
        cursor.ensure(bindings > 0, "binding count")
        records = cursor.number("record count", 4)
        cursor.ensure(1 <= records <= 4096, "record count")
        self.buckets = cursor.number("bucket count", 4)
        cursor.ensure(self.buckets == bucket_count(records), "bucket count")
        self.epoch = cursor.number("epoch", 4)
        narrowings = cursor.number("narrowing count", 2)
        self.directory = self.read_directory(cursor, records)
        self.records = self.read_records(cursor, bindings)
        binding = lambda: self.read_binding(cursor.part("binding", 12), sets, narrowings)
        self.bindings = cursor.many(bindings, "binding", binding, key=lambda one: one)
        used = {binding[3] for binding in self.bindings} if kind in KINDS_OF_KEYS else set()
        cursor.ensure(used == set(range(sets)), "permission sets", "not canonical")
        used = {binding[4] for binding in self.bindings} - {0}
        cursor.ensure(used == set(range(1, narrowings + 1)), "narrowings", "not canonical")
        self.sets = cursor.many(sets, "permission set", lambda: self.read_set(cursor), key=lambda one: one)
        ids = records if kind == IMPORTED_KEY else 0
        self.key_ids = [cursor.number("key ids", 8) for _ in range(ids)]
        begin = cursor.at
        narrowing = lambda: read_narrowing(cursor)
        self.narrowings = cursor.many(narrowings, "narrowing", narrowing, key=lambda one: one[0])
        cursor.ensure(cursor.at - begin <= 65536, "narrowings")
        cursor.finish()

    def read_directory(self, cursor, records):
        directory = []
        for bucket in range(self.buckets + 1):
            first = cursor.number("directory", 2)
            cursor.ensure(bucket > 0 or first == 0, "directory")
            cursor.ensure(bucket == 0 or directory[-1] <= first, "directory", "not ascending")
            directory.append(first)
        cursor.ensure(directory[-1] == records, "directory")
        return directory

    def read_records(self, cursor, bindings):
        read = lambda: (
            cursor.take("records", 10),
            cursor.number("records", 2),
            cursor.number("records", 3),
            cursor.number("records", 1),
        )
        records = [read() for _ in range(self.directory[-1])]
        for tag, binding, expiry, flags in records:
            cursor.ensure(binding < bindings, "record binding")
            cursor.ensure(are_flags(self.kind, flags, expiry), "record flags")
            cursor.ensure(expiry == NEVER or self.epoch + expiry < 2**32, "record expiry")
        for first, end in zip(self.directory, self.directory[1:]):
            tags = [record[0] for record in records[first:end]]
            cursor.ensure(all(a < b for a, b in zip(tags, tags[1:])), "record tag", "not ascending")
        used = {record[1] for record in records}
        cursor.ensure(used == set(range(bindings)), "bindings", "not canonical")
        expiries = [record[2] for record in records if record[2] != NEVER]
        is_canonical = min(expiries) == 0 if expiries else self.epoch == 0
        cursor.ensure(is_canonical, "epoch", "not canonical")
        return records

    def read_binding(self, cursor, sets, narrowings):
        """(project, organization, role, permission set, narrowing)"""
        project, organization = cursor.number("binding project", 4), cursor.number("binding organization", 4)
        role, set_ = cursor.number("binding role", 1), cursor.number("binding permission set", 1)
        narrowing = cursor.number("binding narrowing", 2)
        has_role = self.kind in KINDS_WITH_ROLE
        is_key = self.kind in KINDS_OF_KEYS
        cursor.ensure(project == 0 or self.kind not in (MEMBERSHIP, ENDED_SESSION), "binding project")
        cursor.ensure(organization == 0 or self.kind != ENDED_SESSION, "binding organization")
        cursor.ensure(role in ROLES if has_role else role == 0, "binding role")
        cursor.ensure(set_ < sets if is_key else set_ == 0, "binding permission set")
        cursor.ensure(narrowing <= (narrowings if is_key else 0), "binding narrowing")
        return project, organization, role, set_, narrowing

    @staticmethod
    def read_set(cursor):
        bits = cursor.number("permission set", 16)
        cursor.ensure(bits & ~PERMISSION_BITS == 0, "permission set")
        return bits

    def find(self, tag, b):
        bucket = b * self.buckets >> 32
        for index in range(self.directory[bucket], self.directory[bucket + 1]):
            if self.records[index][0] == tag:
                return self.entry(index)
        return None

    def entry(self, index):
        _, binding, expiry, flags = self.records[index]
        project, organization, role, set_, narrowing = self.bindings[binding]
        return {
            "project": project, "organization": organization, "role": ROLES.get(role),
            "permissions": self.sets[set_] if self.kind in KINDS_OF_KEYS else 0,
            "expiry_minute": None if expiry == NEVER else self.epoch + expiry,
            "state": STATES[flags & 3], "out_of_budget": bool(flags & OUT_OF_BUDGET),
            "external": bool(flags & EXTERNAL),
            "key_id": encode_base62(self.key_ids[index], 11) if self.kind == IMPORTED_KEY else None,
            "narrowing": self.narrowings[narrowing - 1][1] if narrowing else None,
        }  # fmt: skip


def bucket_count(records):
    return -(-records * 5 // 38)


# --- narrowings --------------------------------------------------------------------------------------------------

EXACT, PREFIX = 0, 1
MAPPED = bytes(10) + b"\xff\xff"


class Narrowing:
    """Lists as they stand: networks (prefix length, version, address), resources (type, matching, text), models."""

    def __init__(self, cursor):
        self.rate = cursor.number("narrowing rate", 4)
        self.family = cursor.number("narrowing family", 8)
        cursor.ensure((self.rate == 0) == (self.family == 0), "narrowing family")
        self.networks = self.read_list(cursor, "network", self.read_network)
        self.resources = self.read_list(cursor, "resource", self.read_resource)
        self.models = self.read_list(cursor, "model", self.read_model)
        cursor.finish("narrowing")
        narrows = self.rate or self.networks or self.resources or self.models
        cursor.ensure(narrows, "narrowing", "not canonical")

    @staticmethod
    def read_list(cursor, what, read):
        count = cursor.number(f"narrowing {what} count", 1)
        cursor.ensure(count <= 64, f"narrowing {what} count")
        field = f"narrowing {what}"
        return cursor.many(count, field, lambda: read(cursor, field), key=lambda one: one)

    @staticmethod
    def read_network(cursor, field):
        length, version = cursor.number(field, 1), cursor.number(field, 1)
        cursor.ensure(version in (4, 6), field)
        address = cursor.take(field, 4 if version == 4 else 16)
        bits = len(address) * 8
        cursor.ensure(length <= bits, field)
        cursor.ensure(int.from_bytes(address, "big") % (1 << bits - length) == 0, field)
        cursor.ensure(version == 4 or not address.startswith(MAPPED), field)
        return length, version, address

    @staticmethod
    def read_resource(cursor, field):
        type_, matching = cursor.number(field, 1), cursor.number(field, 1)
        cursor.ensure(type_ in RESOURCE_TYPES and matching in (EXACT, PREFIX), field)
        text = cursor.text(field, 1, 96)
        cursor.ensure(is_made_of(text, BASE62 + "._-") and text.strip("."), field)
        return type_, matching, text

    @staticmethod
    def read_model(cursor, field):
        matching = cursor.number(field, 1)
        cursor.ensure(matching in (EXACT, PREFIX), field)
        text = cursor.text(field, 1, 128)
        cursor.ensure(all(0x21 <= ord(one) <= 0x7E and one not in '"\\' for one in text), field)
        return matching, text

    def allows_address(self, address):
        if address is None:
            return not self.networks
        if len(address) == 16 and address.startswith(MAPPED):
            address = address[12:]
        bits = len(address) * 8
        first = lambda address, length: int.from_bytes(address, "big") >> bits - length
        is_in = lambda length, network: len(network) == len(address) and first(network, length) == first(address, length)
        return not self.networks or any(is_in(length, network) for length, _, network in self.networks)

    def allows_resource(self, type_, id_):
        return not self.resources or any(one[0] == type_ and matches(one[1], one[2], id_) for one in self.resources)

    def allows_model(self, name):
        is_named = name is not None
        return not self.models or is_named and any(matches(matching, text, name) for matching, text in self.models)


def read_narrowing(cursor):
    """(bytes, what they say)"""
    part = cursor.part("narrowing", cursor.number("narrowing length", 2))
    return part.data, Narrowing(part)


def matches(matching, text, name):
    return name == text if matching == EXACT else name.startswith(text)


class Names:
    def __init__(self, kind, reference, data):
        cursor = Cursor("names", b"LKT1", reference.admit("names", data))
        self.kind = cursor.number("kind", 1)
        cursor.ensure(self.kind == kind and kind in KINDS_OF_NAMES, "kind")
        count = cursor.number("count", 4)
        cursor.ensure(1 <= count <= 512, "count")
        self.entries = cursor.many(count, "number", lambda: self.read_entry(cursor), key=lambda one: one["number"])
        cursor.finish()

    def read_entry(self, cursor):
        is_project = self.kind == PROJECT_NAMES
        entry = {"number": cursor.number("number", 4)}
        if is_project:
            entry["organization"] = cursor.number("organization number", 4)
        id_ = cursor.take("id", 16)
        cursor.ensure(is_made_of(id_, BASE62.encode()), "id")
        entry["id"] = ("proj_" if is_project else "org_") + id_.decode()
        if is_project:
            slug = entry["slug"] = cursor.text("slug", 0, 63)
            is_slug = len(slug) >= 3 and is_made_of(slug, SMALL + DIGITS + "-") and slug.strip("-") == slug
            cursor.ensure(is_slug, "slug")
        name = entry["name"] = cursor.text("name", 1, 200)
        cursor.ensure(not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in name), "name")
        return entry

    def find(self, number):
        return next((entry for entry in self.entries if entry["number"] == number), None)


# --- delta -------------------------------------------------------------------------------------------------------

GONE, REVOKED, DISABLED = 0, 2, 3
REMOVAL_REASONS = {GONE: "gone", REVOKED: "revoked", DISABLED: "disabled"}


class Refusals:
    """What a delta refuses and where it belongs; the rest of it is not looked at."""

    def __init__(self, reference, data):
        cursor = Cursor("delta", b"LKD3", reference.admit("delta", data))
        cursor.ensure(len(data) <= 1_048_576, "end")
        self.installation = cursor.take("installation", 16)
        self.pepper_id = cursor.take("pepper id", 8)
        self.base = read_reference(cursor, "base", 4_194_304)
        self.from_ = cursor.number("from", 8)
        self.generation = cursor.number("generation", 8)
        cursor.ensure(self.generation > self.from_, "generation")
        self.parent = read_optional_reference(cursor, "parent", 1_048_576)
        self.begun = read_exceptions(cursor)
        count = cursor.number("removal count", 4)
        part = cursor.part("removals", count * 12)
        removals = part.many(count, "removals", lambda: self.read_removal(part), key=lambda one: one[:2])
        self.removals = {(kind, tag): reason for kind, tag, reason in removals}
        self.rest = cursor

    @staticmethod
    def read_removal(cursor):
        """(kind, tag, reason)"""
        kind = cursor.number("removal kind", 1)
        cursor.ensure(kind in KINDS and kind not in KINDS_OF_NAMES, "removal kind")
        reason = cursor.number("removal reason", 1)
        cursor.ensure(reason in REMOVAL_REASONS if kind in KINDS_OF_KEYS else reason == GONE, "removal reason")
        return kind, cursor.take("removal tag", 10), reason


class Delta(Refusals):
    def __init__(self, reference, data):
        super().__init__(reference, data)
        cursor = self.rest
        self.ended = read_exceptions(cursor)
        both = [class_ for class_ in self.begun if set(self.begun[class_]) & set(self.ended[class_])]
        cursor.ensure(not both, "exceptions", "not canonical")
        count = cursor.number("page count", 2)
        # (kind, first place, page)
        self.pages = cursor.many(count, "pages", lambda: self.read_page(cursor), key=lambda one: one[:2])
        for (kind, _, page), (next_kind, first, _) in zip(self.pages, self.pages[1:]):
            is_below = kind != next_kind or kind not in KINDS_OF_NAMES or page.entries[-1]["number"] << 32 < first
            cursor.ensure(is_below, "page", "not canonical")
        self.check_removals(cursor)
        cursor.finish()

    @staticmethod
    def read_page(cursor):
        kind = cursor.number("page kind", 1)
        cursor.ensure(kind in KINDS, "page kind")
        first = cursor.number("page first place", 8)
        length = cursor.number("page length", 4)
        cursor.ensure(1 <= length <= (149_001 if kind in KINDS_OF_NAMES else 218_174), "page length")
        data = cursor.take("page", length)
        page = (Names if kind in KINDS_OF_NAMES else Page)(kind, Reference.to(data), data)
        if kind in KINDS_OF_NAMES:
            cursor.ensure(first <= page.entries[0]["number"] << 32, "page", "not canonical")
        return kind, first, page

    def check_removals(self, cursor):
        refused = []
        for kind, _, page in self.pages:
            for index, record in enumerate(page.records if kind not in KINDS_OF_NAMES else []):
                reason = {"active": None, "disabled": DISABLED, "revoked": REVOKED}[page.entry(index)["state"]]
                cursor.ensure(self.removals.get((kind, record[0])) == reason, "removals", "not canonical")
                refused += [(kind, record[0])] if reason else []
        expected = [removal for removal, reason in self.removals.items() if reason != GONE]
        cursor.ensure(sorted(refused) == sorted(expected), "removals", "not canonical")

    def page(self, kind, place):
        pages = [page for page_kind, first, page in self.pages if page_kind == kind and first <= place]
        return pages[-1] if pages else None


# --- look-up -----------------------------------------------------------------------------------------------------


def hint(number):
    return (number * 0x9E3779B1 % 2**32) >> 16


class Question:
    def __init__(self, kind, pepper, content, hint_=None):
        h = keyed(pepper, bytes([kind]) + content)
        spread = int.from_bytes(h[16:24], "little")
        self.kind, self.tag = kind, h[:10]
        self.place = spread if hint_ is None else hint_ << 48 | spread >> 16
        self.b = int.from_bytes(h[24:28], "little")

    @classmethod
    def of_key(cls, pepper, id_, digest):
        return cls(NATIVE_KEY, pepper, digest, id_ >> 48)

    @classmethod
    def of_resource(cls, pepper, project, type_, id_):
        content = project.to_bytes(4, "little") + bytes([type_]) + id_.encode()
        return cls(RESOURCE, pepper, content, hint(project))

    @classmethod
    def of_project(cls, pepper, text):
        return cls(PROJECT_REFERENCE, pepper, text.encode())

    @classmethod
    def of_imported_key(cls, pepper, text):
        return cls(IMPORTED_KEY, pepper, hashlib.sha256(text.encode()).digest())

    @classmethod
    def of_membership(cls, pepper, identity, organization):
        content = identity.removeprefix("idn_").encode() + organization.to_bytes(4, "little")
        return cls(MEMBERSHIP, pepper, content, hint(organization))

    @classmethod
    def of_collaboration(cls, pepper, identity, project):
        content = identity.removeprefix("idn_").encode() + project.to_bytes(4, "little")
        return cls(COLLABORATION, pepper, content, hint(project))

    @classmethod
    def of_session(cls, pepper, session):
        return cls(ENDED_SESSION, pepper, session.removeprefix("sess_").encode())


def pepper_id(pepper):
    return derive("latchkey pepper id v1", pepper)[:8]


class Snapshot:
    """A manifest, whatever objects are at hand, by digest, and deltas, the newest first."""

    def __init__(self, manifest, objects):
        self.manifest = Manifest(Reference.to(manifest), manifest)
        self.objects = {blake3(data).digest(): data for data in objects}
        self.deltas = []
        # By kind: the records that each node names which was read, by the node's number.
        self.counted = {}

    def follow(self, installation, generation, base, tip):
        """Takes in the deltas from a tip on, of which every one is at hand: all must be what a statement names."""
        refuse = lambda reason: Refused("chain", reason=reason)
        parent = tip
        while parent is not None:
            if len(self.deltas) == 4:
                raise refuse("too many")
            self.deltas.append(Delta(parent, self.objects[parent.digest]))
            parent = self.deltas[-1].parent
        if any(part.installation != installation for part in (self.manifest, *self.deltas)):
            raise refuse("installation")
        if any(delta.pepper_id != self.manifest.pepper_id for delta in self.deltas):
            raise refuse("pepper id")
        if any(delta.base != base for delta in self.deltas):
            raise refuse("base")
        for delta, before in zip(self.deltas, [*self.deltas[1:], self.manifest]):
            if delta.from_ != before.generation:
                raise refuse("continuity")
        if [*self.deltas, self.manifest][0].generation != generation:
            raise refuse("generation")
        if not all(canary.holds(self.find(canary)) for canary in self.manifest.canaries):
            raise refuse("canary")

    def exceptions(self):
        """Those in force: numbers by class."""
        in_force = {class_: set(numbers) for class_, numbers in self.manifest.exceptions.items()}
        for delta in reversed(self.deltas):
            for class_ in in_force:
                in_force[class_] = (in_force[class_] | set(delta.begun[class_])) - set(delta.ended[class_])
        return {class_: sorted(numbers) for class_, numbers in in_force.items()}

    def page(self, kind, place):
        """The reference of the page for a place, or None."""
        section = next((one for one in self.manifest.sections if one["kind"] == kind), None)
        if section is None:
            return None
        first_places = [node[0] for node in section["nodes"]]
        at = bisect_right(first_places, place) - 1
        if at < 0:
            return None
        node = self.node(section, at)
        page = node.pages[bisect_right([page[0] for page in node.pages], place) - 1]
        return page if page[0] <= place else None

    def node(self, section, at):
        """The section's node with this number."""
        kind, nodes = section["kind"], section["nodes"]
        first_place, reference = nodes[at]
        node = Node(kind, reference, self.objects[reference.digest])
        until = nodes[at + 1][0] if at + 1 < len(nodes) else 2**64
        if node.pages[0][0] != first_place or node.pages[-1][0] >= until:
            raise Refused("node", reason="place")
        counted = self.counted.setdefault(kind, {})
        counted[at] = sum(records for _, records, _ in node.pages)
        total, said = sum(counted.values()), section["records"]
        if total != said if len(counted) == len(nodes) else total >= said:
            raise Refused("manifest", reason="section records")
        return node

    def leaf(self, kind, page):
        """What a page of a node says."""
        _, records, reference = page
        is_names = kind in KINDS_OF_NAMES
        leaf = (Names if is_names else Page)(kind, reference, self.objects[reference.digest])
        if len(leaf.entries if is_names else leaf.records) != records:
            raise Refused("names" if is_names else "page", reason="records")
        return leaf

    def read_all(self):
        """All nodes and pages, with their kinds."""
        sections = self.manifest.sections
        nodes = [(one["kind"], self.node(one, at)) for one in sections for at in range(len(one["nodes"]))]
        return nodes, [(kind, self.leaf(kind, page)) for kind, node in nodes for page in node.pages]

    def find(self, question):
        for delta in self.deltas:
            removal = delta.removals.get((question.kind, question.tag))
            if removal == GONE:
                return None
            page = delta.page(question.kind, question.place)
            found = page and page.find(question.tag, question.b)
            if found or removal is not None:
                return found
        page = self.page(question.kind, question.place)
        return page and self.leaf(question.kind, page).find(question.tag, question.b)

    def names(self, kind, number):
        for delta in self.deltas:
            page = delta.page(kind, number << 32)
            found = page and page.find(number)
            if found:
                return found
        page = self.page(kind, number << 32)
        return page and self.leaf(kind, page).find(number)


# --- what is kept, and what refuses though it does not serve -----------------------------------------------------


def follow_successors(root, version, fetch):
    """The root of this version, from the one that is held on."""
    for _ in range(16):
        if root.version >= version:
            break
        root = Root(fetch(root.version + 1), root)
    if root.version < version:
        raise Refused("root", reason="too many")
    return root


class Intake:
    """What a reader makes of verified heads: a rank, the digest of the signed bytes, and inline revocations."""

    def __init__(self, floor):
        """`floor`: (root version, generation)"""
        self.floor, self.held, self.inline = floor, None, set()

    def take(self, rank, digest, inline, now, vouches):
        """`inline`: (generation, subject kind, subject) each; `vouches`: whether the head's root names enough of the
        keys that signed what came before. A refusal changes nothing."""
        root_version, generation, as_of = rank
        if self.held and root_version < self.held[0][0]:
            raise Refused("head", reason="root version")
        if as_of > now + 1000:
            raise Refused("head", reason="as of")
        if (root_version, generation) < self.floor:
            raise Refused("head", reason="floor")
        if self.held:
            became = outcome(self.held[0], rank, digest == self.held[1])
            if became == "stays and is reported":
                raise Refused("head", reason="forked")
            if became == "stays":
                if rank < self.held[0]:
                    raise Refused("head", reason="older")
                return
        kept = self.inline
        is_new_root = self.held and root_version > self.held[0][0]
        if is_new_root and not (vouches and len(kept | set(inline)) <= 4096):
            kept = set()
        if len(kept | set(inline)) > 4096:
            raise Refused("head", reason="inline")
        self.held, self.inline = (rank, digest), kept | set(inline)

    def serve(self, generation):
        self.inline = {entry for entry in self.inline if entry[0] > generation}


class Follower:
    """A reader of one installation's statements: what it serves, and what deltas refuse that do not serve."""

    def __init__(self, installation, pepper, objects):
        self.installation, self.pepper_id = installation, pepper_id(pepper)
        self.objects = {blake3(data).digest(): data for data in objects}
        self.serving, self.generation = None, -1
        # By kind and tag: the generation of the delta that refuses, and how.
        self.ahead = {}
        # The generation of the delta, and numbers by class.
        self.begun = []

    def come(self, generation, base, tip, lacking):
        """A statement comes, and all that it names can be had but these digests."""
        here = {digest: data for digest, data in self.objects.items() if digest not in lacking}
        if self.generation < generation and self.serves(generation, base, tip, here):
            self.ahead = {what: how for what, how in self.ahead.items() if how[0] > generation}
            self.begun = [begun for begun in self.begun if begun[0] > generation]
            return
        newer = []
        while tip is not None and tip.digest in here and len(newer) < 4:
            try:
                delta = self.read(tip, here[tip.digest])
            except Refused:
                return
            if min(delta.generation, generation) > self.generation:
                self.refuse(delta, min(delta.generation, generation), newer)
            newer.append(delta)
            tip = delta.parent

    def serves(self, generation, base, tip, here):
        try:
            snapshot = Snapshot(here[base.digest], here.values())
            snapshot.follow(self.installation, generation, base, tip)
            Routes(snapshot.manifest.rules)
        except (Refused, RuleRefused, KeyError):
            return False
        if snapshot.manifest.pepper_id != self.pepper_id:
            return False
        self.serving, self.generation = snapshot, generation
        return True

    @staticmethod
    def read(reference, data):
        """The whole delta, or what it refuses."""
        try:
            return Delta(reference, data)
        except Refused:
            return Refusals(reference, data)

    def refuse(self, delta, generation, newer):
        """What a delta refuses, but for what newer ones say something of."""
        ended = [one.ended for one in newer if isinstance(one, Delta)]
        begun = {
            class_: set(numbers).difference(*(exceptions[class_] for exceptions in ended))
            for class_, numbers in delta.begun.items()
        }
        self.begun.append((generation, begun))
        words = {GONE: "gone", REVOKED: "revoked", DISABLED: "disabled"}
        refused = {what: words[reason] for what, reason in delta.removals.items() if what[0] != ENDED_SESSION}
        if isinstance(delta, Delta):
            refused |= {what: "revoked" for what in self.records(delta) if what[0] == ENDED_SESSION}
        said = {what for one in newer if isinstance(one, Delta) for what in (*one.removals, *self.records(one))}
        known = {what for what in said if what[0] != ENDED_SESSION}
        for what, how in refused.items():
            if what not in known and self.ahead.get(what, (0, None))[0] <= generation:
                self.ahead[what] = generation, how

    @staticmethod
    def records(delta):
        """The kind and the tag of every record in a delta's pages."""
        pages = [page for page in delta.pages if page[0] not in KINDS_OF_NAMES]
        return [(kind, record[0]) for kind, _, page in pages for record in page.records]

    def exceptions(self):
        in_force = self.serving.exceptions()
        return {
            class_: sorted(set(numbers).union(*(begun[class_] for _, begun in self.begun)))
            for class_, numbers in in_force.items()
        }


# --- route rules -------------------------------------------------------------------------------------------------

UNRESERVED = BASE62 + "-._~"
PLAIN = UNRESERVED + "!$&'()*+,=:@"


class RuleRefused(Exception):
    """Why the rule with a number cannot stand."""

    def __init__(self, rule, reason):
        super().__init__(rule, reason)
        self.why = {"rule": rule, "reason": reason}


class PathRefused(Exception):
    pass


class Pattern:
    """Segments: a text; or texts before and behind a parameter; or a catch-all, as True."""

    def __init__(self, text, ensure):
        ensure(1 <= len(text.encode()) <= 512, "pattern length")
        ensure(text.startswith("/"), "not absolute")
        self.segments, self.names, self.texts = [], [], ""
        for segment in text[1:].split("/") if text != "/" else []:
            ensure(len(self.segments) < 32, "too many segments")
            ensure(not self.segments or self.segments[-1] is not True, "catch-all")
            ensure(segment not in ("", ".", ".."), "segment")
            self.segments.append(self.read_segment(segment, ensure))
        self.segments = self.segments or [""]

    def read_segment(self, segment, ensure):
        before, brace, rest = segment.partition("{")
        if not brace:
            return self.read_text(before, ensure)
        name, brace, behind = rest.partition("}")
        ensure(brace, "parameter")
        ensure("{" not in behind, "parameters")
        bare = name.removeprefix("*")
        ensure(1 <= len(bare) <= 32 and is_made_of(bare, SMALL + DIGITS + "_"), "parameter")
        ensure(bare == name or not (before or behind), "catch-all")
        parameter = self.read_text(before, ensure), self.read_text(behind, ensure)
        ensure(bare not in self.names, "parameter twice")
        self.names.append(bare)
        ensure(len(self.names) <= 8, "too many parameters")
        return parameter if bare == name else True

    def read_text(self, text, ensure):
        ensure(is_made_of(text, PLAIN), "character")
        self.texts += text
        return text

    @property
    def catch_all(self):
        return self.names[-1] if self.segments[-1] is True else None


TAKEN_HEADERS = ("authorization", "cookie", "host", "origin", "forwarded")
SOURCES = {1: "path", 2: "header", 3: "query", 4: "host", 5: "body"}
SOURCE_NAMES = {
    1: (SMALL + DIGITS + "_", 32), 2: (SMALL + DIGITS + "-", 64), 3: (BASE62 + "-_.", 64),
    4: (SMALL + DIGITS + "_", 32), 5: (BASE62 + "-_.", 64),
}  # fmt: skip


def split_host(host):
    """The parameter that is its first label, or None, and the rest."""
    name, end, rest = host.removeprefix("{").partition("}.")
    return (name, rest) if host.startswith("{") and end else (None, host)


def is_host(host):
    parameter, rest = split_host(host)
    named = parameter is None or (1 <= len(parameter) <= 32 and is_made_of(parameter, SMALL + DIGITS + "_"))
    labels = all(1 <= len(one) <= 63 and is_made_of(one, SMALL + DIGITS + "-") for one in rest.split("."))
    return len(host) <= 253 and named and labels


def is_origin(text):
    scheme, slashes, authority = text.partition("://")
    port = {"https": ":443", "http": ":80"}.get(scheme)
    return (
        bool(slashes and port and authority)
        and is_made_of(authority, SMALL + DIGITS + "-.:[]")
        and not authority.endswith((":", port))
    )


class Routes:
    def __init__(self, rules):
        self.rules = rules
        if len(rules) > 4096:
            raise RuleRefused(4096, "too many")
        self.patterns = [self.check(number, rule) for number, rule in enumerate(rules)]
        known = set()
        for number, rule in enumerate(rules):
            key = self.host(rule), rule["method"], rule["pattern"]
            if key in known:
                raise RuleRefused(number, "twice")
            known.add(key)
        self.check_shapes()
        self.texts = set().union(*(pattern.texts for pattern in self.patterns))

    @staticmethod
    def check(number, rule):
        def ensure(holds, reason):
            if not holds:
                raise RuleRefused(number, reason)

        ensure(1 <= len(rule["method"]) <= 16 and is_made_of(rule["method"], CAPITALS), "method")
        ensure(rule["host"] is None or is_host(rule["host"]), "host")
        need = [rule.get(what) for what in ("project", "resource", "model")]
        if rule["permission"] is None:
            more = (*need, rule.get("shadow_until"), rule.get("fresh_only"), rule.get("sessions"))
            ensure(not any(more), "public")
        else:
            permission = next(number for number, word in PERMISSIONS.items() if word == rule["permission"])
            ensure(permission >= (20 if rule["sessions"] else 40), "never held")
            ensure(not (rule["fresh_only"] and rule["shadow_until"]), "shadow")
        pattern = Pattern(rule["pattern"], ensure)
        project, resource, model = need
        resource = resource and resource["source"]
        for source in (project, resource, model):
            ((kind, name),) = source.items() if source else ((None, None),)
            if kind == "path":
                ensure(name in pattern.names, "unknown parameter")
                ensure(source is model or name != pattern.catch_all, "catch-all source")
            if kind == "host":
                ensure(name == split_host(rule["host"] or "")[0], "unknown host parameter")
            if kind == "header":
                ensure(name not in TAKEN_HEADERS and not name.startswith("latchkey-"), "header")
            ensure(kind != "body" or source is model, "place")
        ensure(project is None or project not in (resource, model), "one for both")
        return pattern

    @staticmethod
    def host(rule):
        """What rules are apart by, in the order in which hosts are looked at."""
        if rule["host"] is None:
            return (0, "")
        parameter, rest = split_host(rule["host"])
        return (1 if parameter is None else 2, rest)

    def check_shapes(self):
        method = lambda rule: (self.host(rule), rule["method"].encode())
        key = lambda number: (*method(self.rules[number]), self.rules[number]["pattern"].encode())
        shapes, kinds = set(), {}
        for number in sorted(range(len(self.rules)), key=key):
            method_of, segments = method(self.rules[number]), self.patterns[number].segments
            for n, segment in enumerate(segments):
                if isinstance(segment, str):
                    continue
                kind = segment if segment is True or segment[0] else "without text before"
                if kinds.setdefault((method_of, *segments[:n]), kind) != kind:
                    raise RuleRefused(number, "conflict")
            if (method_of, *segments) in shapes:
                raise RuleRefused(number, "conflict")
            shapes.add((method_of, *segments))

    def find(self, host, method, path):
        """The number of the rule, the host's label, and what its parameters spell, or None."""
        self.check_path(path)
        places = [((0, ""), None)]
        if host is not None:
            bare = bare_host(host)
            label, dot, domain = bare.partition(".")
            places = [((1, bare), None), *([((2, domain), label)] if label and dot else []), *places]
        for place, label in places:
            of = lambda rule: rule["method"] == method and self.host(rule) == place
            patterns = [number for number, rule in enumerate(self.rules) if of(rule)]
            found = self.walk(patterns, 0, path[1:].decode().split("/"))
            if found is None:
                continue
            number, parts = found
            if any(is_cut(part) for part in parts):
                return None
            spelled = [spell(part.encode()).decode() for part in parts]
            return number, label, [list(pair) for pair in zip(self.patterns[number].names, spelled)]
        return None

    def walk(self, patterns, n, path):
        if n == len(path):
            return next(((one, []) for one in patterns if len(self.patterns[one].segments) == n), None)
        nexts = {}
        for number in patterns:
            if len(self.patterns[number].segments) > n:
                nexts.setdefault(self.patterns[number].segments[n], []).append(number)
        segment = path[n]
        if segment in nexts and (found := self.walk(nexts[segment], n + 1, path)):
            return found
        parameters = [shape for shape in nexts if isinstance(shape, tuple)]
        for before, behind in sorted(parameters, key=lambda shape: -len(shape[1])):
            is_long = len(segment) > len(before) + len(behind)
            if is_long and segment.startswith(before) and segment.endswith(behind):
                if found := self.walk(nexts[before, behind], n + 1, path):
                    return found[0], [segment[len(before) : len(segment) - len(behind)], *found[1]]
        rest = "/".join(path[n:])
        return (nexts[True][0], [rest]) if True in nexts and rest else None

    def check_path(self, path):
        def ensure(holds, why):
            if not holds:
                raise PathRefused(why)

        ensure(len(path) <= 4096, "path_too_long")
        ensure(path.startswith(b"/"), "path_not_absolute")
        at = 0
        while at < len(path):
            byte = path[at]
            if byte == 0x25:
                spelled = hexadecimal(path[at + 1 : at + 3])
                ensure(spelled is not None, "path_bad_escape")
                ensure(spelled != 0x2F, "path_encoded_slash")
                ensure(spelled != 0x5C, "path_backslash")
                ensure(spelled != 0x3B, "path_byte")
                ensure(spelled >= 0x20 and spelled != 0x7F, "path_control_byte")
                ensure(chr(spelled) not in UNRESERVED and chr(spelled) not in self.texts, "path_needless_escape")
                is_twice = spelled == 0x25 and hexadecimal(path[at + 3 : at + 5]) is not None
                ensure(not is_twice, "path_needless_escape")
                at += 3
                continue
            ensure(byte != 0x5C, "path_backslash")
            ensure(byte >= 0x20 and byte != 0x7F, "path_control_byte")
            ensure(chr(byte) in PLAIN + "/", "path_byte")
            at += 1
        for segment in path[1:].split(b"/") if path != b"/" else []:
            ensure(segment, "path_empty_segment")
            ensure(segment not in (b".", b".."), "path_dot_segment")
        try:
            spell(path).decode("utf-8")
        except UnicodeDecodeError:
            raise PathRefused("path_not_utf8") from None


def hexadecimal(digits):
    """The byte that two digits spell, or None."""
    is_hexadecimal = len(digits) == 2 and all(chr(digit) in DIGITS + "abcdefABCDEF" for digit in digits)
    return int(digits, 16) if is_hexadecimal else None


def is_cut(part):
    """Whether a part of a path ends within an escape."""
    return "%" in part[-2:]


def spell(path):
    first, *rest = path.split(b"%")
    return first + b"".join(bytes([hexadecimal(part[:2])]) + part[2:] for part in rest)


def bare_host(host):
    end = host.rfind("]") + 1
    host = host[:end] + host[end:].partition(":")[0]
    return host.removesuffix(".").lower()


def unescape(text):
    """Escapes replaced, what is no escape as it is, `+` as a blank."""
    first, *rest = text.replace(b"+", b" ").split(b"%")
    spelled = lambda part: b"%" + part if hexadecimal(part[:2]) is None else bytes([hexadecimal(part[:2])]) + part[2:]
    return first + b"".join(map(spelled, rest))


def is_read_as(piece, name):
    read = unescape(piece.partition(b"=")[0]).lstrip(b" \t\n\x0c\r")
    end = next((at for at, byte in enumerate(read) if byte == 0x5B or byte < 0x20 or byte == 0x7F), len(read))
    fold = lambda text: text.lower().replace(b" ", b"_").replace(b".", b"_")
    return fold(read[:end]) == fold(name.encode())


def query_value(query, name):
    """What a query says for a name, or None."""
    if b"#" in query:
        raise PathRefused("query_ambiguous")
    values = []
    for piece in query.split(b"&"):
        parts = piece.split(b";")
        if len(parts) > 1 and any(is_read_as(part, name) for part in parts):
            raise PathRefused("query_ambiguous")
        if not is_read_as(piece, name):
            continue
        spelled, equals, value = piece.partition(b"=")
        is_whole = all(hexadecimal(part[:2]) is not None for part in value.split(b"%")[1:])
        if not equals or spelled != name.encode() or values or b"+" in value or not is_whole:
            raise PathRefused("query_ambiguous")
        try:
            text = spell(value).decode()
        except UnicodeDecodeError:
            raise PathRefused("query_ambiguous") from None
        again = any(hexadecimal(part[:2]) is not None for part in text.encode().split(b"%")[1:])
        if again or any(unicodedata.category(character) == "Cc" for character in text):
            raise PathRefused("query_ambiguous")
        values.append(text)
    return values[0] if values else None


class Ended(Exception):
    pass


class Json:
    """RFC 8259, to the letter."""

    def __init__(self, data, field):
        self.data, self.at, self.field, self.found, self.depth = data, 0, field, [], 0

    def peek(self):
        if self.at == len(self.data):
            raise Ended
        return self.data[self.at : self.at + 1]

    def step(self):
        byte = self.peek()
        self.at += 1
        return byte

    def expect(self, byte):
        if self.step() != byte:
            raise ValueError

    def take(self, byte):
        is_there = self.peek() == byte
        self.at += is_there
        return is_there

    def blanks(self):
        while self.data[self.at : self.at + 1] in (b" ", b"\t", b"\n", b"\r"):
            self.at += 1

    def listed(self, end, one):
        self.blanks()
        if self.take(end):
            return
        while True:
            self.blanks()
            one()
            self.blanks()
            if self.take(end):
                return
            self.expect(b",")

    def whole(self):
        self.blanks()
        self.expect(b"{")
        self.listed(b"}", lambda: self.member(is_top=True))
        self.blanks()
        if self.at < len(self.data):
            raise ValueError

    def member(self, is_top=False):
        name = self.text()
        self.blanks()
        self.expect(b":")
        self.blanks()
        fold = lambda text: text and text.upper().lower()
        if not is_top or fold(name) != fold(self.field):
            return self.value()
        if self.peek() != b'"' or self.found or name != self.field:
            raise ValueError
        text = self.text()
        if text is None:
            raise ValueError
        self.found.append(text)

    def value(self):
        first = self.peek()
        if first == b'"':
            self.text()
        elif first in b"{[":
            self.at += 1
            self.depth += 1
            if self.depth > 64:
                raise ValueError
            self.listed(*((b"}", self.member) if first == b"{" else (b"]", self.value)))
            self.depth -= 1
        elif first in b"tfn":
            for byte in {b"t": b"true", b"f": b"false", b"n": b"null"}[first]:
                self.expect(bytes([byte]))
        else:
            self.number()

    def number(self):
        self.take(b"-")
        if not self.take(b"0"):
            self.digits()
        if self.take(b"."):
            self.digits()
        if self.take(b"e") or self.take(b"E"):
            _ = self.take(b"+") or self.take(b"-")
            self.digits()

    def digits(self):
        if not self.step().isdigit():
            raise ValueError
        while self.peek().isdigit():
            self.at += 1

    def text(self):
        """What a text spells, or None where that is no Unicode."""
        self.expect(b'"')
        units = []
        escapes = {b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b'"': 34, b"\\": 92, b"/": 47}
        raw = b""
        while True:
            byte = self.step()
            if byte not in (b'"', b"\\"):
                if byte < b" ":
                    raise ValueError
                raw += byte
                continue
            units.append(raw.decode())
            raw = b""
            if byte == b'"':
                break
            kind = self.step()
            if kind == b"u":
                digits = b"".join(self.step() for _ in range(4))
                if not all(chr(digit) in DIGITS + "abcdefABCDEF" for digit in digits):
                    raise ValueError
                units.append(chr(int(digits, 16)))
            elif kind in escapes:
                units.append(chr(escapes[kind]))
            else:
                raise ValueError
        try:
            return "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            return None


def body_text(seen, more, field):
    """What a body, or its beginning, says in a field, or None."""
    json = Json(seen, field)
    try:
        json.whole()
    except Ended:
        return json.found[0] if more and json.found else None
    except ValueError:
        return None
    return json.found[0] if json.found and not more else None


# --- the key format ----------------------------------------------------------------------------------------------


def decode_base62(text):
    """The number that bytes spell, or None."""
    number = 0
    for byte in text:
        value = BASE62.find(chr(byte)) if byte < 128 else -1
        if value < 0:
            return None
        number = number * 62 + value
    return number if number < 2**64 else None


def encode_base62(number, width):
    text = ""
    for _ in range(width):
        number, value = divmod(number, 62)
        text = BASE62[value] + text
    return text


def why_no_prefix(text):
    if not 2 <= len(text.encode()) <= 12:
        return "length"
    if not is_made_of(text, SMALL + DIGITS + "_"):
        return "character"
    if text.endswith("_"):
        return "underscore"
    return "reserved" if text.split("_")[0] in ("lko", "lks", "lkt", "lku", "lka", "lki") else None


def mint_check(mint_secret, minted):
    return encode_base62(int.from_bytes(keyed(mint_secret, minted)[:4], "little") % 2**29, 5)


def make_key(prefix, id_, secret, mint_secret):
    minted = f"{prefix}_{encode_base62(id_, 11)}_{secret}"
    body = minted + mint_check(mint_secret, minted.encode())
    return body + encode_base62(zlib.crc32(body.encode()), 6)


class KeyText:
    def __init__(self, text, prefix):
        if len(text) != len(prefix) + 51:
            raise Refused("key", reason="length")
        body, checksum = text[:-6], text[-6:]
        if decode_base62(checksum) != zlib.crc32(body):
            raise Refused("key", reason="checksum")
        if not body.startswith(prefix.encode()):
            raise Refused("key", reason="prefix")
        rest = body[len(prefix) :]
        id_, secret = rest[1:12], rest[13:]
        if rest[0:1] != b"_" or rest[12:13] != b"_" or not is_made_of(id_ + secret, BASE62.encode()):
            raise Refused("key", reason="character")
        if decode_base62(id_) is None:
            raise Refused("key", reason="id")
        self.text, self.id, self.id_number = text, id_.decode(), decode_base62(id_)
        self.minted, self.mint_check = body[:-5], body[-5:].decode()

    def is_minted(self, mint_secret):
        return mint_check(mint_secret, self.minted) == self.mint_check

    def digest(self):
        return blake3(self.text).digest()


def generation_secret(mint_secret):
    return derive("latchkey generation token v1", mint_secret)


def read_token(token, secret):
    """The generation that a token stands for, or None."""
    if len(token) != 22:
        return None
    generation, mac = decode_base62(token[:11]), decode_base62(token[11:])
    if generation is None or mac is None:
        return None
    expected = keyed(secret, generation.to_bytes(8, "little"))[:8]
    return generation if mac.to_bytes(8, "little") == expected else None


# --- the session token -------------------------------------------------------------------------------------------

BASE64URL = CAPITALS + SMALL + DIGITS + "-_"


def decode_base64url(text):
    """The bytes that a text without padding stands for, or None if it is not the one text of them."""
    if not is_made_of(text, BASE64URL):
        return None
    bits = 0
    for character in text:
        bits = bits << 6 | BASE64URL.index(character)
    surplus = len(text) * 6 % 8
    return None if bits % (1 << surplus) else (bits >> surplus).to_bytes(len(text) * 6 // 8, "big")


class SessionToken:
    def __init__(self, text, installation, keys, now):
        """`keys` are the manifest's session keys, `now` is in milliseconds."""

        def ensure(holds, reason):
            if not holds:
                raise Refused("session token", reason=reason)

        ensure(len(text.encode()) == 166, "length")
        ensure(text.startswith("lkt_"), "prefix")
        data = decode_base64url(text[4:])
        ensure(data is not None, "encoding")
        ensure(data[0] == 1, "version")
        signer, session, identity, signature = data[1:9], data[9:25], data[25:41], data[57:]
        ensure(is_made_of(session, BASE62.encode()), "session")
        ensure(is_made_of(identity, BASE62.encode()), "identity")
        self.issued, self.expires = (int.from_bytes(data[at : at + 8], "little") for at in (41, 49))
        ensure(self.issued < self.expires <= self.issued + 600, "lifetime")
        is_signer = lambda key: signer_id(key["public"]) == signer and key["not_before"] <= self.issued <= key["not_after"]
        signers = [key["public"] for key in keys if is_signer(key)]
        ensure(signers, "signer")
        message = b"latchkey session token v1\0" + installation + data[:57]
        ensure(any(is_valid_signature(public, message, signature) for public in signers), "signature")
        ensure(self.issued * 1000 <= now + 1000, "ahead")
        ensure(now < self.expires * 1000, "expired")
        self.session, self.identity = "sess_" + session.decode(), "idn_" + identity.decode()
