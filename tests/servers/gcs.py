"""A stand-in for Google Cloud Storage: **not Google's, and no emulator of all of it.**

    gcs.py PORT

It keeps objects in memory and answers the calls of the XML API that the `object_store` crate makes, as
https://cloud.google.com/storage/docs/xml-api describes them: objects are put, copied, read whole or by range, asked for
by HEAD, deleted and listed, with generations and conditions, in one request or in parts. Nobody is asked who they are.
What it shows is that Pinako speaks this protocol right; it says nothing of Google's speed, limits or failures.

An object is put in one step under one lock, so that of many who put a name only if absent exactly one wins. A body that
was cut short is never put.
"""
import base64
import email.utils
import hashlib
import itertools
import re
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

MAX_KEYS = 1000


class Refused(Exception):
    """An answer other than what was asked for: status, code, headers."""

    def __init__(self, status, code, **headers):
        super().__init__(status, code)
        self.status, self.code, self.headers = status, code, headers


class Object:
    """An immutable object: its bytes, and the headers to hand back with them."""

    generations = itertools.count(1)

    def __init__(self, body, headers):
        self.body, self.modified = body, time.time()
        self.etag = f'"{hashlib.md5(body).hexdigest()}"'
        self.generation = str(next(self.generations))
        self.headers = {
            key: value for key, value in headers.items()
            if key.startswith("x-goog-meta-")
            or key in ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control")
        }


class Buckets:
    """Every bucket's objects and the uploads by parts that are under way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.objects = {}
        self.uploads = {}
        self.upload_names = map(str, itertools.count(1))

    def bucket(self, name):
        if name not in self.objects:
            raise Refused(404, "NoSuchBucket")
        return self.objects[name]

    def get(self, bucket, key):
        found = self.bucket(bucket).get(key)
        if found is None:
            raise Refused(404, "NoSuchKey")
        return found

    def put(self, bucket, key, new, expected):
        """Puts an object if the one that is there has the expected generation ("0": none is there; None: any)."""
        with self.lock:
            there = self.bucket(bucket).get(key)
            if expected is not None and expected != (there.generation if there else "0"):
                raise Refused(412, "PreconditionFailed")
            self.objects[bucket][key] = new

    def delete(self, bucket, key):
        with self.lock:
            self.get(bucket, key)
            del self.objects[bucket][key]

    def parts(self, upload, bucket, key):
        found = self.uploads.get(upload)
        if found is None or found["for"] != (bucket, key):
            raise Refused(404, "NoSuchUpload")
        return found

    def page(self, bucket, prefix, delimiter, after, most):
        """The keys and common prefixes that come after `after`, in order of their bytes, and whether there are more."""
        with self.lock:
            keys = sorted(key for key in self.bucket(bucket) if key.startswith(prefix))
            entries = {}
            for key in keys:
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                name = key if end < 0 else key[:end + len(delimiter)]
                if name > after:
                    entries[name] = self.objects[bucket][key] if end < 0 else None
        return dict(itertools.islice(entries.items(), most)), len(entries) > most


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    buckets = Buckets()

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        bucket, _, key = url.path[1:].partition("/")
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.asked = {name.lower(): value for name, value in self.headers.items()}
        length = int(self.asked.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        bucket, key = urllib.parse.unquote(bucket), urllib.parse.unquote(key)
        verb = f"{self.command.lower()}_{'object' if key else 'bucket'}"
        try:
            if not hasattr(self, verb):
                raise Refused(405, "MethodNotAllowed")
            getattr(self, verb)(bucket, key, body)
        except Refused as refused:
            said = f"<Error><Code>{refused.code}</Code></Error>".encode() if refused.status != 304 else b""
            self.answer(refused.status, said, **refused.headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def answer(self, status, body=b"", **headers):
        """Answers with a header for each keyword, whose `_` stands for `-`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status not in (204, 304) and "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def put_bucket(self, bucket, _key, _body):
        self.buckets.objects.setdefault(bucket, {})
        self.answer(200)

    def get_bucket(self, bucket, _key, _body):
        """A page of a list (version 2): everything after `start-after` or after where the last page ended."""
        after = self.query.get("start-after", "")
        if "continuation-token" in self.query:
            after = base64.urlsafe_b64decode(self.query["continuation-token"]).decode()
        most = min(int(self.query.get("max-keys", MAX_KEYS)), MAX_KEYS)
        page, more = self.buckets.page(
            bucket, self.query.get("prefix", ""), self.query.get("delimiter", ""), after, most)
        said = ['<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>',
                f"<IsTruncated>{str(more).lower()}</IsTruncated>"]
        if more and page:
            said.append(f"<NextContinuationToken>{token(list(page)[-1])}</NextContinuationToken>")
        for name, found in page.items():
            if found:
                said.append(
                    f"<Contents><Key>{escape(name)}</Key><Size>{len(found.body)}</Size>"
                    f"<LastModified>{iso(found.modified)}</LastModified><ETag>{escape(found.etag)}</ETag></Contents>")
        for name in (name for name, found in page.items() if not found):
            said.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
        said.append("</ListBucketResult>")
        self.answer(200, "".join(said).encode(), Content_Type="application/xml")

    def get_object(self, bucket, key, _body):
        found = self.buckets.get(bucket, key)
        if self.query.get("generation", found.generation) != found.generation:
            raise Refused(404, "NoSuchKey")
        self.check_conditions(found)
        about = {
            **{name.replace("-", "_"): value for name, value in found.headers.items()},
            "ETag": found.etag,
            "Last_Modified": email.utils.formatdate(found.modified, usegmt=True),
            "x_goog_generation": found.generation,
            "Accept_Ranges": "bytes",
        }
        size = len(found.body)
        wanted = range_of(self.asked.get("range"), size)
        if wanted is None:
            self.answer(200, found.body, **about)
        else:
            start, end = wanted
            about["Content_Range"] = f"bytes {start}-{end - 1}/{size}"
            self.answer(206, found.body[start:end], **about)

    head_object = get_object

    def check_conditions(self, found):
        """If-Match and its kin; times count in whole seconds."""
        asked, modified = self.asked, int(found.modified)
        if "if-match" in asked and not matches(asked["if-match"], found.etag):
            raise Refused(412, "PreconditionFailed")
        if "if-unmodified-since" in asked and modified > seconds(asked["if-unmodified-since"]):
            raise Refused(412, "PreconditionFailed")
        if "if-none-match" in asked:
            if matches(asked["if-none-match"], found.etag):
                raise Refused(304, "NotModified", ETag=found.etag)
        elif "if-modified-since" in asked and modified <= seconds(asked["if-modified-since"]):
            raise Refused(304, "NotModified", ETag=found.etag)

    def put_object(self, bucket, key, body):
        if "uploadId" in self.query:
            part = Object(body, {})
            self.buckets.parts(self.query["uploadId"], bucket, key)[int(self.query["partNumber"])] = part
            return self.answer(200, ETag=part.etag)
        headers = self.asked
        if "x-goog-copy-source" in self.asked:
            source, _, source_key = self.asked["x-goog-copy-source"].lstrip("/").partition("/")
            copied = self.buckets.get(urllib.parse.unquote(source), urllib.parse.unquote(source_key))
            body, headers = copied.body, copied.headers
        new = Object(body, headers)
        self.buckets.put(bucket, key, new, self.asked.get("x-goog-if-generation-match"))
        said = b""
        if "x-goog-copy-source" in self.asked:
            said = f"<CopyObjectResult><ETag>{escape(new.etag)}</ETag></CopyObjectResult>".encode()
        self.answer(200, said, ETag=new.etag, x_goog_generation=new.generation)

    def post_object(self, bucket, key, body):
        """Begins or completes an upload by parts."""
        if "uploads" in self.query:
            self.buckets.bucket(bucket)
            upload = next(self.buckets.upload_names)
            self.buckets.uploads[upload] = {"for": (bucket, key), "headers": self.asked}
            said = (f"<InitiateMultipartUploadResult><Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key>"
                    f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
            return self.answer(200, said.encode(), Content_Type="application/xml")
        upload = self.query.get("uploadId")
        parts = self.buckets.parts(upload, bucket, key)
        pieces = []
        for part in ElementTree.fromstring(body).iter("Part"):
            found = parts.get(int(part.findtext("PartNumber")))
            if found is None or found.etag != part.findtext("ETag"):
                raise Refused(400, "InvalidPart")
            pieces.append(found.body)
        new = Object(b"".join(pieces), parts["headers"])
        self.buckets.put(bucket, key, new, parts["headers"].get("x-goog-if-generation-match"))
        self.buckets.uploads.pop(upload, None)
        said = f"<CompleteMultipartUploadResult><ETag>{escape(new.etag)}</ETag></CompleteMultipartUploadResult>"
        self.answer(200, said.encode(), Content_Type="application/xml", x_goog_generation=new.generation)

    def delete_object(self, bucket, key, _body):
        if "uploadId" in self.query:
            self.buckets.parts(self.query["uploadId"], bucket, key)
            self.buckets.uploads.pop(self.query["uploadId"], None)
        else:
            self.buckets.delete(bucket, key)
        self.answer(204)

    def log_request(self, *_):
        """Says nothing: the tests count requests where they make them."""


def range_of(header, size):
    """The bytes `start..end` that a Range header asks for; None for all of them."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not found or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(size - int(last), 0), size
    if start >= size or start >= end:
        raise Refused(416, "InvalidRange", Content_Range=f"bytes */{size}")
    return start, end


def matches(header, etag):
    return header.strip() == "*" or etag in (each.strip() for each in header.split(","))


def seconds(header):
    return email.utils.parsedate_to_datetime(header).timestamp()


def iso(when):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when * 1000) % 1000:03}Z"


def token(name):
    return base64.urlsafe_b64encode(name.encode()).decode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
