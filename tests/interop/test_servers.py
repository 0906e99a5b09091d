"""The servers that the tests run beside answer, end with their runner, and keep the promises that Pinako builds on."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import ROOT, server

ONLY_GS = [sys.executable, str(ROOT / "scripts/servers.py"), "run", "--only", "gs", "--"]


class Stand:
    """One connection to the stand-in."""

    def __init__(self, account):
        url = urllib.parse.urlsplit(json.loads(account)["gcs_base_url"])
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)

    def ask(self, method, path, body=None, **headers):
        """Gives status, headers and body of the answer; `_` in a header's name stands for `-`."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, f"/pinako-tests/{path}", body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.fixture
def account():
    return pathlib.Path(server("GOOGLE_SERVICE_ACCOUNT")).read_text()


@pytest.fixture
def stand(account):
    return Stand(account)


def test_of_many_who_put_a_name_if_absent_one_wins(account, stand):
    def put(writer):
        return Stand(account).ask("PUT", f"race%2F{name}", f"by {writer}", x_goog_if_generation_match="0")[0]

    for name in range(20):
        with concurrent.futures.ThreadPoolExecutor(8) as writers:
            statuses = list(writers.map(put, range(8)))
        assert sorted(statuses) == [200] + 7 * [412]
        assert stand.ask("GET", f"race%2F{name}")[2] == f"by {statuses.index(200)}".encode()


def test_of_many_who_put_a_name_if_absent_in_s3_one_wins():
    server("PINAKO_TEST_S3")
    import boto3
    import botocore.exceptions
    client = boto3.client("s3")

    def put(writer):
        try:
            client.put_object(Bucket="pinako-tests", Key=f"race/{name}", Body=b"%d" % writer, IfNoneMatch="*")
            return 200
        except botocore.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]

    for name in range(5):
        with concurrent.futures.ThreadPoolExecutor(8) as writers:
            statuses = list(writers.map(put, range(8)))
        assert sorted(statuses) == [200] + 7 * [412]
        stored = client.get_object(Bucket="pinako-tests", Key=f"race/{name}")["Body"].read()
        assert stored == b"%d" % statuses.index(200)


def test_the_stand_in_replaces_a_generation_only_by_its_number(stand):
    generation = stand.ask("PUT", "generation", b"first")[1]["x-goog-generation"]
    assert stand.ask("PUT", "generation", b"second", x_goog_if_generation_match=generation)[0] == 200
    assert stand.ask("PUT", "generation", b"third", x_goog_if_generation_match=generation)[0] == 412
    assert stand.ask("GET", "generation")[2] == b"second"


@pytest.mark.parametrize("asked, status, said, content_range", [
    ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
    ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=-2", 206, b"89", "bytes 8-9/10"),
    ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
    ("bytes=10-12", 416, None, "bytes */10"),
])
def test_the_stand_in_gives_ranges(stand, asked, status, said, content_range):
    stand.ask("PUT", "ranged", b"0123456789")
    got = stand.ask("GET", "ranged", Range=asked)
    assert (got[0], got[1]["Content-Range"]) == (status, content_range)
    assert said is None or got[2] == said


def test_the_stand_in_tells_of_an_object_and_of_none(stand):
    before = int(time.time())
    stand.ask("PUT", "told", b"0123456789")
    status, headers, body = stand.ask("HEAD", "told")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")
    assert before <= time.mktime(time.strptime(headers["Last-Modified"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert stand.ask("DELETE", "told")[0] == 204
    assert [stand.ask(method, "told")[0] for method in ("GET", "HEAD", "DELETE")] == [404, 404, 404]


def test_the_stand_in_lists_in_pages(stand):
    names = [f"listed/{n:02}" for n in range(7)] + ["listed/sub/a", "listed/sub/b", "listed/z&<"]
    for name in reversed(names):
        stand.ask("PUT", urllib.parse.quote(name, safe=""), b"x")

    def pages(**query):
        while True:
            path = "?" + urllib.parse.urlencode({"list-type": 2, "prefix": "listed/", "max-keys": 4, **query})
            page = ElementTree.fromstring(stand.ask("GET", path)[2])
            yield tuple([e.text for e in page.iterfind(of)] for of in ("Contents/Key", "CommonPrefixes/Prefix"))
            if (token := page.findtext("NextContinuationToken")) is None:
                return
            query["continuation-token"] = token

    assert list(pages()) == [(names[:4], []), (names[4:8], []), (names[8:], [])]
    assert list(pages(delimiter="/")) == [(names[:4], []), (names[4:7], ["listed/sub/"]), (names[9:], [])]
    assert list(pages(**{"start-after": names[5]})) == [(names[6:], [])]


def test_postgres_asks_for_the_password_where_it_says_so():
    url = server("PINAKO_TEST_POSTGRES_PASSWORD_URL")
    import psycopg
    encrypted = {"sslmode": "verify-full", "sslrootcert": server("PINAKO_TEST_POSTGRES_CA")}
    with psycopg.connect(url, **encrypted) as connection:
        session = connection.execute("select ssl, current_user from pg_stat_ssl where pid = pg_backend_pid()")
        assert session.fetchone() == (True, "guarded")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace("secret", "guessed"))
    with psycopg.connect(server("PINAKO_TEST_POSTGRES_NO_RIGHTS")) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create schema mine")


def test_azurite_answers():
    server("PINAKO_TEST_AZ")
    url = urllib.parse.urlsplit(server("AZURE_STORAGE_ENDPOINT"))
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.request("GET", f"{url.path}/pinako-tests/none")
    assert connection.getresponse().headers["Server"].startswith("Azurite")


def test_the_exit_status_of_a_command_beside_servers_is_its_own():
    assert subprocess.run([*ONLY_GS, "sh", "-c", "exit 7"]).returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_its_runner(number, tmp_path):
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a process of its parent's death")
    command = ["sh", "-c", 'cat "$GOOGLE_SERVICE_ACCOUNT"; echo; exec sleep 60']
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # where what was killed leaves its folder
    with subprocess.Popen(
        [*ONLY_GS, *command], stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as runner:
        account = runner.stdout.readline()
        if number == signal.SIGINT:
            os.killpg(runner.pid, number)  # as a terminal does
        else:
            runner.send_signal(number)
        runner.wait(30)
        with pytest.raises(OSError):
            for _ in range(100):
                Stand(account).ask("GET", "none")
                time.sleep(0.1)
