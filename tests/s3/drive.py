"""Serves an installation that publishes to an S3-compatible store, and looks at what lies there by the binary's commands.

The store is moto's: a server in this process, on a port of its own. It honours `If-Match` and `If-None-Match`.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

BUCKET, PREFIX = "snapshots", "some/where"
PLACE = f"s3://{BUCKET}/{PREFIX}"
# Seconds for anything to arrive.
ARRIVE_SECS_MAX = 60
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hidden-secret", "AWS_REGION": "eu-central-1"}


def call(method, url, token=None, body=None):
    request = urllib.request.Request(url, method=method)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text.startswith(b"{") else text


def until(what, is_so):
    start = time.monotonic()
    while not is_so():
        if time.monotonic() - start > ARRIVE_SECS_MAX:
            raise AssertionError(f"it never came: {what}")
        time.sleep(0.05)


class Installation:
    def __init__(self, binary, scratch, store):
        self.binary, self.scratch, self.store = binary, scratch, store
        self.data = scratch / "data"
        printed = self.run("init", "--dir", self.data, "--prefix", "s3_test")
        self.operator = next(word for word in printed.split() if word.startswith("lko_"))
        credentials = scratch / "credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(f"id\n{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}\n")
        (scratch / "config.toml").write_text(
            f'dir = "{self.data}"\nlisten = "127.0.0.1:0"\noperator_sign_in = true\n'
            f'[s3]\nbucket = "{BUCKET}"\nprefix = "{PREFIX}"\nendpoint = "{store}"\n'
            f'region = "eu-central-1"\ncredentials = "{credentials}"\n')
        self.starts = 0

    def environment(self):
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LATCHKEY_"))}
        return mine | CREDENTIALS | {"AWS_ENDPOINT": self.store, "LATCHKEY_TOKEN": getattr(self, "operator", "")}

    def run(self, *words, fails_with=None):
        """The output of a command, or that it fails with these words."""
        done = subprocess.run([self.binary, *map(str, words)], env=self.environment(), text=True,
                              capture_output=True, timeout=120)
        if fails_with is not None:
            assert done.returncode != 0 and fails_with in done.stderr, (words, done.stdout, done.stderr)
            return done.stderr
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def start(self):
        self.starts += 1
        ready = self.scratch / f"ready-{self.starts}"
        self.log = self.scratch / f"log-{self.starts}"
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                [self.binary, "serve", "--config", self.scratch / "config.toml", "--ready-file", ready],
                env=self.environment(), stdout=log, stderr=log)
        until("the server", lambda: ready.exists() and ready.read_text().endswith("\n"))
        self.url = ready.read_text().strip()

    def stop(self):
        self.server.terminate()
        assert self.server.wait(timeout=60) == 0
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in self.log.read_text()

    def kill(self):
        if getattr(self, "server", None) and self.server.poll() is None:
            self.server.kill()
            self.server.wait()

    def post(self, path, token, body=None):
        return call("POST", self.url + path, token, body if body is not None else {})

    def settle(self):
        """Waits until the store has a statement of all that is committed."""
        def is_there():
            committed = call("GET", self.url + "/v1/operator/publish", self.operator)["committed"]
            try:
                head = json.loads(self.run("snapshot", "inspect", PLACE, "--json", "--dir", self.data))["head"]
            except AssertionError:
                return False
            return head["statement"]["generation"] == committed
        until("the statement", is_there)


def publish_and_restore(installation):
    """A key that was revoked after the backup stays refused once the backup is restored by what the store has."""
    installation.start()
    post, operator = installation.post, installation.operator
    organization = post("/v1/organizations", operator, {"name": "Acme", "owner_email": "o@acme.test"})
    owner = post("/v1/operator/sessions", operator, {"email": "o@acme.test"})["token"]
    projects = f"/v1/organizations/{organization['organization']['id']}/projects"
    project = post(projects, owner, {"name": "Alpha", "slug": "alpha"})["id"]
    key = post(f"/v1/projects/{project}/keys", owner, {"name": "k"})["key"]["id"]
    installation.settle()
    copy = installation.scratch / "copy"
    installation.run("backup", "--url", installation.url, "--out", copy)
    post(f"/v1/keys/{key}/revoke", owner)
    installation.settle()
    installation.stop()
    verified = installation.run("snapshot", "verify", PLACE, "--dir", installation.data)
    assert "every one whole" in verified, verified
    rebuilt = installation.run("snapshot", "rebuild", "--dir", installation.data, "--published", PLACE)
    assert rebuilt.startswith("rebuilt: "), rebuilt
    restore = ["restore", "--dir", installation.data, "--backup", copy]
    installation.run(*restore, "--published", f"s3://{BUCKET}/else/where", fails_with="no head is published")
    installation.run(*restore, "--published", "s3://nowhere/", fails_with="s3://nowhere/")
    (installation.data / "state.redb").rename(installation.scratch / "lost")
    told = installation.run(*restore, "--published", PLACE)
    assert "1 things are held" in told, told
    assert f"key/{key} refused" in installation.run("restore", "--dir", installation.data, "--report")
    installation.start()
    installation.settle()
    installation.stop()
    installation.run("snapshot", "verify", PLACE, "--dir", installation.data)


class Gate:
    """`latchkey gate` that reads the store, and nothing else."""

    def __init__(self, installation, env):
        installation.starts += 1
        ready = installation.scratch / f"ready-{installation.starts}"
        self.log = installation.scratch / f"log-{installation.starts}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [installation.binary, "gate", "--env", env, "--published", PLACE, "--listen", "127.0.0.1:0",
                 "--ready-file", ready], env=installation.environment(), stdout=log, stderr=log)
        until("the gate", lambda: ready.exists() and ready.read_text().endswith("\n"))
        self.url = ready.read_text().strip()

    def says(self, secret):
        """Status, code and headers of its answer to a key."""
        try:
            request = urllib.request.Request(self.url + "/v1/whoami", headers={"authorization": f"Bearer {secret}"})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                return answer.status, None, answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["code"], error.headers

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0, self.log.read_text()
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in self.log.read_text()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def gate_follows_the_store(installation):
    """A gate that reads the store lets a key in once it is there, and refuses it soon after it is revoked."""
    installation.start()
    post, operator = installation.post, installation.operator
    organization = post("/v1/organizations", operator, {"name": "Acme", "owner_email": "o@acme.test"})
    owner = post("/v1/operator/sessions", operator, {"email": "o@acme.test"})["token"]
    projects = f"/v1/organizations/{organization['organization']['id']}/projects"
    project = post(projects, owner, {"name": "Alpha", "slug": "alpha"})["id"]
    env = installation.scratch / "gate.env"
    installation.run("gate-env", "--dir", installation.data, "--out", env)
    gate = Gate(installation, env)
    try:
        kept, gone = (post(f"/v1/projects/{project}/keys", owner, {"name": "k"}) for _ in range(2))
        for made in (kept, gone):
            until("a key that was made", lambda made=made: gate.says(made["secret"])[0] == 200)
        post(f"/v1/keys/{gone['key']['id']}/revoke", owner)
        until("the revocation", lambda: gate.says(gone["secret"])[:2] == (401, "revoked"))
        said = gate.says(kept["secret"])
        assert said[0] == 200, said
        installation.settle()
        installation.stop()
        gate.stop()
        # Without its control plane a new one knows what the store knows, and says how old that is.
        gate = Gate(installation, env)
        until("what is in the store", lambda: gate.says(kept["secret"])[0] == 200)
        said = gate.says(gone["secret"])
        assert said[:2] == (401, "revoked"), said
        until("the mark", lambda: gate.says(kept["secret"])[2].get("latchkey-stale") == "1")
        gate.stop()
    finally:
        gate.kill()


def main(binary):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = f"http://{host}:{port}"
    passed = failed = 0
    try:
        for case in [publish_and_restore, gate_follows_the_store]:
            call("POST", f"{store}/moto-api/reset")
            call("PUT", f"{store}/{BUCKET}")
            with tempfile.TemporaryDirectory() as scratch:
                installation = Installation(binary, Path(scratch), store)
                try:
                    case(installation)
                    passed += 1
                except Exception as error:  # Whatever it is, the case failed, and the next one still runs.
                    failed += 1
                    print(f"{case.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
                finally:
                    installation.kill()
    finally:
        server.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
