#!/usr/bin/env python3
"""Runs a command beside the servers that the tests need, all of them on 127.0.0.1, and stops them when it ends.

    scripts/servers.py run [--only postgres,s3,az,gs] -- COMMAND...

| name     | server                                             | is installed by                                |
| -------- | -------------------------------------------------- | ---------------------------------------------- |
| postgres | PostgreSQL, a cluster of its own                   | apt-get install postgresql                     |
| s3       | moto, in tests/servers/s3.py                       | pip install -r tests/interop/requirements.txt  |
| az       | Azurite                                            | npm install --prefix .servers azurite          |
| gs       | a stand-in of the tests' own, tests/servers/gcs.py | nothing: it needs Python alone                 |

`make servers` installs them all. They start side by side on free ports, with all their files in one temporary folder,
and the command finds them by the variables that the functions below return; PINAKO_TEST_SERVERS names those that run.
A server that is not installed is left out with a note; with CI set in the environment that is an error instead.

A test must never reach a bucket or a database that somebody uses: the command sees none of the caller's own variables
for clouds and for PostgreSQL.

No server outlives this script, whichever way it ends: it stops them by their process ids, and where the system can
(Linux), they are also told to end when it dies without a chance to do so.
"""
import argparse
import base64
import ctypes
import email.utils
import functools
import glob
import hashlib
import hmac
import http.client
import importlib.util
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
BUCKET = "pinako-tests"
START_SECONDS = 120
STOP_SECONDS = 10
# The account of every Azure emulator, public by design.
AZ_ACCOUNT = "devstoreaccount1"
AZ_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# What PostgreSQL, libpq and the clouds' own tools take from the environment.
OTHERS_VARIABLES = ("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "PG", "PINAKO_TEST_")


class Missing(Exception):
    """A server is not installed; says what to do."""


class Failure(Exception):
    """A server did not start; says why."""


class Interrupted(Exception):
    """A signal asked for the end."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def die_with_parent(parent, number):
    """In a new process: the signal comes when the parent dies, also when it is killed."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)


def child_environment(variables):
    """The environment without what is somebody else's, and with these variables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS_VARIABLES)}
    proxied = ",".join(filter(None, [kept.get("NO_PROXY", kept.get("no_proxy")), HOST, "localhost"]))
    return {**kept, "NO_PROXY": proxied, "no_proxy": proxied, **variables}


class Process:
    """One server (or a step towards one), in a process group of its own so that Ctrl-C reaches the command alone."""

    def __init__(self, name, folder, command, ends_by=signal.SIGTERM, **options):
        self.name, self.ends_by = name, ends_by
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                list(map(str, command)), cwd=folder, env=child_environment({"TMPDIR": str(folder)}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid(), ends_by), **options)

    def failure(self, what):
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return Failure("\n    ".join([f"{self.name} {what}; the end of what it said:", *lines]))

    def end_of_step(self):
        """Waits for the end of a step, in the caller's turns."""
        while self.child.poll() is None:
            yield
        if self.child.returncode != 0:
            raise self.failure(f"failed with {self.child.returncode}")

    def answer(self, ask):
        """Asks until there is an answer, in the caller's turns."""
        while True:
            if self.child.poll() is not None:
                raise self.failure(f"ended with {self.child.returncode} before it answered")
            try:
                return ask()
            except (OSError, http.client.HTTPException):
                yield

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(self.ends_by)
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)
                self.child.wait()


def free_port():
    """A port below those that systems give to clients, so that nobody's connection takes it before the server does."""
    for port in random.sample(range(20_000, 32_000), 1_000):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue
    raise Failure(f"no free port on {HOST}")


def put(port, path, headers=()):
    """Sends a PUT without a body; anything but a 2xx is a failure."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("PUT", path, headers=dict(headers))
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status // 100 != 2:
        raise Failure(f"PUT {path} at port {port} gave {answer.status}: {said[:500]!r}")


# Each server is a generator, so that all start at once in one thread (a server is told to end with the *thread* that
# started it). It takes a folder of its own and a list for its processes, yields while it waits, and returns the
# variables for the command.


def postgres(folder, processes):
    """PostgreSQL with TLS; a superuser without a password, a role with one, and a role that may only log in."""
    binaries = postgres_binaries()
    user = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to be
        try:
            who = pwd.getpwnam("postgres")
        except KeyError:
            raise Missing("there is no user postgres to run PostgreSQL as: apt-get install postgresql") from None
        os.chown(folder, who.pw_uid, who.pw_gid)
        user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}

    def launch(name, command, ends_by=signal.SIGTERM):
        processes.append(Process(name, folder, command, ends_by, **user))
        return processes[-1]

    data, port = folder / "data", free_port()
    yield from launch("initdb", [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                                 "--no-locale", "--no-sync"]).end_of_step()
    (data / "pg_hba.conf").write_text(
        f"host  all  guarded  {HOST}/32  scram-sha-256\n"
        f"host  all  all      {HOST}/32  trust\n"
        "local  all  all                trust\n")
    # fsync stays on: there are tests of crashes.
    settings = [f"listen_addresses={HOST}", f"port={port}", f"unix_socket_directories={folder}", "max_connections=200"]
    tls = {}
    if shutil.which("openssl"):
        yield from launch("certificates", ["sh", "-euc", MAKE_CERTIFICATES]).end_of_step()
        settings += ["ssl=on", f"ssl_cert_file={folder}/server.crt", f"ssl_key_file={folder}/server.key"]
        tls = {"PINAKO_TEST_POSTGRES_CA": f"{folder}/ca.crt"}
    else:
        note("postgres speaks no TLS: openssl is missing (apt-get install openssl)")
    # SIGQUIT is its immediate shutdown: nobody needs the data that others would write out first.
    server = launch("postgres", [binaries / "postgres", "-D", data, *(x for s in settings for x in ("-c", s))],
                    ends_by=signal.SIGQUIT)

    def make_roles():
        psql = subprocess.run(
            [binaries / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(port), "-U", "postgres",
             "-c", ROLES], env=child_environment({}), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if psql.returncode == 2:
            raise ConnectionError(psql.stderr)
        if psql.returncode != 0:
            raise Failure(f"psql could not make the roles: {psql.stderr}")

    yield from server.answer(make_roles)
    url = f"{HOST}:{port}/postgres"
    return {
        "PINAKO_TEST_POSTGRES": f"postgres://postgres@{url}",
        "PINAKO_TEST_POSTGRES_PASSWORD_URL": f"postgres://guarded:secret@{url}",
        "PINAKO_TEST_POSTGRES_NO_RIGHTS": f"postgres://nobody@{url}",
        # Where a test finds initdb and pg_ctl for a cluster of its own, which it may kill.
        "PINAKO_TEST_POSTGRES_BIN": str(binaries),
        **tls,
    }


ROLES = """
    revoke create on schema public from public;
    revoke temporary on database postgres from public;
    create role guarded login password 'secret';
    grant all on database postgres to guarded;
    grant all on schema public to guarded;
    create role nobody login;
"""

# A CA and, signed by it, the server's certificate: who checks certificates takes no CA as a server.
MAKE_CERTIFICATES = f"""
    umask 077
    request() {{ openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@"; }}
    request -x509 -days 30 -keyout ca.key -out ca.crt -subj '/CN=CA of the tests' \\
        -addext keyUsage=critical,keyCertSign
    request -keyout server.key -out server.csr -subj /CN=localhost
    printf '%s\\n' subjectAltName=DNS:localhost,IP:{HOST} basicConstraints=CA:FALSE \\
        extendedKeyUsage=serverAuth >server.ext
    openssl x509 -req -days 30 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile server.ext \\
        -out server.crt
    chmod 644 ca.crt
"""


def postgres_binaries():
    """The folder that has PostgreSQL's programs: that of the PATH, else the newest of Debian's."""
    found = shutil.which("initdb")
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[-2]), reverse=True)
    for folder in ([os.path.dirname(os.path.realpath(found))] if found else []) + folders:
        if all(os.access(f"{folder}/{program}", os.X_OK) for program in ("initdb", "pg_ctl", "postgres", "psql")):
            return pathlib.Path(folder)
    raise Missing("PostgreSQL is neither on the PATH nor in /usr/lib/postgresql: apt-get install postgresql")


def s3(folder, processes):
    """moto's S3, with one bucket."""
    port = free_port()
    processes.append(server := Process("s3", folder, [python_with_moto(), ROOT / "tests/servers/s3.py", port]))
    yield from server.answer(lambda: put(port, f"/{BUCKET}"))
    return {
        "PINAKO_TEST_S3": f"s3://{BUCKET}",
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def python_with_moto():
    """This Python where it has moto, else that of the virtual environment which `make` makes."""
    if importlib.util.find_spec("moto"):
        return sys.executable
    if glob.glob(f"{ROOT}/.venv/lib/python*/site-packages/moto"):
        return ROOT / ".venv/bin/python"
    raise Missing(f"{sys.executable} has no moto: pip install -r tests/interop/requirements.txt")


def az(folder, processes):
    """Azurite's blobs in memory, with one container."""
    program = shutil.which("azurite-blob", path=f"{ROOT}/.servers/node_modules/.bin") or shutil.which("azurite-blob")
    if not program:
        raise Missing("azurite-blob is neither in .servers nor on the PATH: npm install --prefix .servers azurite")
    if not shutil.which("node"):
        raise Missing("Azurite needs node: apt-get install nodejs npm")
    port = free_port()
    processes.append(server := Process("az", folder, [
        program, "--blobHost", HOST, "--blobPort", port, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent",
        "--disableTelemetry"]))

    def make_container():
        path = f"/{AZ_ACCOUNT}/{BUCKET}"
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        # Azure's "Shared Key": the method, eleven headers that are not sent, those that are, what is asked for.
        said = "PUT" + 12 * "\n" + "".join(f"{key}:{value}\n" for key, value in sorted(headers.items()))
        said += f"/{AZ_ACCOUNT}{path}\nrestype:container"
        seal = hmac.new(base64.b64decode(AZ_KEY), said.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {AZ_ACCOUNT}:{base64.b64encode(seal).decode()}"
        put(port, f"{path}?restype=container", headers)

    yield from server.answer(make_container)
    return {
        "PINAKO_TEST_AZ": f"az://{BUCKET}",
        "AZURE_STORAGE_ENDPOINT": f"http://{HOST}:{port}/{AZ_ACCOUNT}",
        "AZURE_ALLOW_HTTP": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": AZ_ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": AZ_KEY,
    }


def gs(folder, processes):
    """The tests' stand-in for Google's storage, with one bucket and a service account that signs nothing."""
    port = free_port()
    processes.append(server := Process("gs", folder, [sys.executable, ROOT / "tests/servers/gcs.py", port]))
    yield from server.answer(lambda: put(port, f"/{BUCKET}"))
    account = folder / "account.json"
    account.write_text(json.dumps({
        "gcs_base_url": f"http://{HOST}:{port}", "disable_oauth": True,
        "client_email": "", "private_key": "", "private_key_id": ""}))
    return {"PINAKO_TEST_GS": f"gs://{BUCKET}", "GOOGLE_SERVICE_ACCOUNT": str(account), "GOOGLE_ALLOW_HTTP": "true"}


SERVERS = {server.__name__: server for server in (postgres, s3, az, gs)}


def note(text):
    print(f"servers: {text}", file=sys.stderr, flush=True)


def start(names, folder, processes):
    """Starts the servers side by side; gives the variables by which the command finds them."""
    starting = {}
    for name in names:
        (folder / name).mkdir()
        starting[name] = SERVERS[name](folder / name, processes)
    variables, running = {}, []
    deadline = time.monotonic() + START_SECONDS
    while starting:
        if time.monotonic() > deadline:
            raise Failure(f"no answer within {START_SECONDS} s from {', '.join(starting)}")
        for name, steps in list(starting.items()):
            try:
                next(steps)
                continue
            except StopIteration as done:
                variables.update(done.value)
                running.append(name)
            except Missing as missing:
                if os.environ.get("CI"):
                    raise Failure(f"{name} cannot be started: {missing}") from None
                note(f"{name} is left out, and so are its tests: {missing}")
            del starting[name]
        time.sleep(0.02)
    return {**variables, "PINAKO_TEST_SERVERS": ",".join(name for name in SERVERS if name in running)}


def run(names, command):
    """Runs the command beside the servers; gives its exit status, as a shell would."""
    processes, child = [], None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pinako-servers-"))
    folder.chmod(0o711)  # for the user postgres
    try:
        variables = start(names, folder, processes)
        child = subprocess.Popen(command, env=child_environment(variables),
                                 preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGTERM))
        status = child.wait()
        return status if status >= 0 else 128 - status
    except Interrupted as interrupted:
        hear_no_signals()
        if child:
            end(child, interrupted.number)
        return 128 + interrupted.number
    except (Failure, OSError) as failure:
        note(failure)
        return 1
    finally:
        hear_no_signals()
        for process in processes:
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def end(child, number):
    """Waits for the command to end; a terminal has told it of Ctrl-C already, nobody of any other signal."""
    if number != signal.SIGINT:
        child.terminate()
    for last_word in (signal.SIGTERM, signal.SIGKILL):
        try:
            child.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            child.send_signal(last_word)
    child.wait()


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(number, _frame):
    raise Interrupted(number)


def hear_no_signals():
    """From here on we are ending, which nothing shall cut short."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verb = parser.add_subparsers(dest="verb", required=True).add_parser("run", help="run a command beside the servers")
    verb.add_argument("--only", default=",".join(SERVERS), metavar="NAMES", help="which servers (default: %(default)s)")
    verb.add_argument("command", nargs="+", help="the command and its arguments, after --")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"there is no server {', '.join(unknown)}, but there are {', '.join(SERVERS)}")
    for number in ENDING:
        signal.signal(number, interrupt)
    return run(names, arguments.command)


if __name__ == "__main__":
    sys.exit(main())
