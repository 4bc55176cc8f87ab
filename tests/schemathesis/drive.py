"""Serves an installation of its own and lets schemathesis call it as each kind of caller.

Every caller gets a world of their own (an organization with a project, people, a key, a cluster), so that what one run
breaks is not missed by another. The operator, who can break everybody's, comes last.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

SEED = 3
# Seconds for a caller's run: schemathesis fills them. Those who may most get most. All but the operator run two at a
# time, so that everything takes less than three minutes.
CALLERS = {"admin": 60, "member": 25, "external": 25, "key": 25, "anonymous": 25, "operator": 60}
ENDS_SECS = 5
START_SECS_MAX = 30
EXAMPLES = 8

# What ends a run's own credential or world. These are called in a run of their own behind the others.
ENDS = [
    "members.leave", "members.remove", "organizations.suspend", "projects.archive", "projects.leave",
    "sessions.revoke", "sessions.revoke_all",
]
# `positive_data_acceptance`: many refusals are about more than the shape of a body (whom an address belongs to).
# `unsupported_method`, `allow_header_conformance`: nobody learns of methods without a credential (R1).
UNCHECKED = "positive_data_acceptance,unsupported_method,allow_header_conformance"


class Api:
    """The control plane, to the holder of a credential."""

    def __init__(self, base, token):
        self.base, self.token = base, token

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method)
        request.add_header("authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def post(self, path, body=None):
        return self.call("POST", path, body)


class World:
    """An organization of its own for a run, and the credentials in it."""

    def __init__(self, operator, name):
        def sign_in(person):
            return Api(operator.base, operator.post("/v1/operator/sessions", {"email": f"{person}@{name}.test"})["token"])

        made = operator.post("/v1/organizations", {"name": name, "owner_email": f"owner@{name}.test"})
        self.organization = made["organization"]["id"]
        admin = sign_in("owner")
        projects = f"/v1/organizations/{self.organization}/projects"
        self.project = admin.post(projects, {"name": name, "slug": f"{name}-red"})["id"]
        inside = f"/v1/projects/{self.project}"
        admin.call("PUT", f"{inside}/external", {"allowed": True})
        member = self._invited(admin, sign_in("member"), f"/v1/organizations/{self.organization}/invitations",
                               {"email": f"member@{name}.test"})
        member.post(f"{inside}/join")
        external = self._invited(admin, sign_in("external"), f"{inside}/collaborators",
                                 {"email": f"external@{name}.test", "role": "member", "external": True})
        key = admin.post(f"{inside}/keys", {"name": "k", "role": "admin"})
        self.key = key["key"]["id"]
        operator.post(f"{inside}/resources", {"type": "cluster", "id": f"{name}-c"})
        self.cluster = f"{name}-c"
        self.user = member.call("GET", "/v1/me")["id"]
        self.tokens = {
            "admin": admin.token, "member": member.token, "external": external.token,
            "operator": operator.token, "key": key["secret"], "anonymous": None,
        }

    @staticmethod
    def _invited(admin, person, path, body):
        made = admin.post(path, body)
        person.post("/v1/invitations:accept", {"token": made["token"]})
        return person

    def config(self, caller):
        lines = []
        if self.tokens[caller]:
            lines += ["[auth.openapi.bearer]", 'bearer = "${LATCHKEY_TOKEN}"']
        names = {"organization": self.organization, "project": self.project, "key": self.key, "user": self.user,
                 "type": "cluster", "id": self.cluster}
        return "\n".join([*lines, "[parameters]", *(f'"path.{name}" = "{value}"' for name, value in names.items()), ""])


def run(folder, base, world, caller, what):
    """One run; what it printed if it found something."""
    config = os.path.join(folder, f"{caller}-{what[0]}.toml")
    with open(config, "w") as file:
        file.write(world.config(caller))
    ends = [argument for name in ENDS for argument in (f"--{what[0]}-operation-id", name)]
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file", config,
        "run", f"{base}/openapi.json", "--seed", str(SEED), "--max-examples", str(EXAMPLES), "--max-time", str(what[1]),
        "--exclude-checks", UNCHECKED, "--no-shrink", "--continue-on-failure", "--warnings", "off", "--no-color", *ends,
    ]
    environment = {**os.environ, "LATCHKEY_TOKEN": world.tokens[caller] or "", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, env=environment, cwd=folder, text=True, timeout=what[1] + 60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    cases = next((line.strip() for line in done.stdout.splitlines() if " generated, " in line), "no case")
    print(f"{caller} ({what[0]} what ends a world): {cases}", flush=True)
    return None if done.returncode == 0 else f"== {caller}\n{done.stdout}"


def both(folder, base, operator, caller):
    """All operations but those that end the caller's world, and then those."""
    world = World(operator, f"w-{caller}")
    runs = (("exclude", CALLERS[caller]), ("include", ENDS_SECS))
    return [run(folder, base, world, caller, what) for what in runs]


def main(latchkey):
    with tempfile.TemporaryDirectory() as folder:
        data, ready = os.path.join(folder, "data"), os.path.join(folder, "ready")
        made = subprocess.run([latchkey, "init", "--dir", data, "--prefix", "lk_test"], check=True, text=True,
                              stdout=subprocess.PIPE)
        token = next(word for word in made.stdout.split() if word.startswith("lko_"))
        log = open(os.path.join(folder, "log"), "w")
        server = subprocess.Popen(
            [latchkey, "serve", "--dir", data, "--listen", "127.0.0.1:0", "--operator-sign-in", "--ready-file", ready,
             "--rate-per-second", "0", "--strangers-per-second", "0"],
            stdout=log, stderr=log, env={**os.environ, "RUST_LOG": "warn"})
        try:
            base = started(server, ready)
            operator = Api(base, token)
            with ThreadPoolExecutor(2) as pool:
                callers = [caller for caller in CALLERS if caller != "operator"]
                outcomes = list(pool.map(lambda caller: both(folder, base, operator, caller), callers))
            outcomes.append(both(folder, base, operator, "operator"))
        finally:
            server.terminate()
            stopped = server.wait(30)
        found = [text for outcome in outcomes for text in outcome if text]
        total = sum(len(outcome) for outcome in outcomes)
        with open(os.path.join(folder, "log")) as file:
            errors = [line for line in file if " ERROR " in line or "panicked" in line]
        print("".join(found + errors[:20]), end="")
        print(f"{total - len(found)} passed, {len(found)} failed")
        return bool(found or errors or stopped != 0)


def started(server, ready):
    end = time.monotonic() + START_SECS_MAX
    while time.monotonic() < end and server.poll() is None:
        if os.path.exists(ready) and (text := open(ready).read()).endswith("\n"):
            return text.strip()
        time.sleep(0.02)
    sys.exit("the server was not ready in time")


sys.exit(main(sys.argv[1]))
