"""A Hub for tests: enough of its HTTP interface for the real client and the `hf` command, on 127.0.0.1, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from huggingface_hub import ModelCard

OWNER, STRANGER = "hf_owner", "hf_stranger"
USERS = {OWNER: "someone", STRANGER: "stranger"}
LFS = (".safetensors", ".png", ".bin")
LICENCES = {"apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "mit", "other"}


@dataclass(frozen=True)
class Blob:
    data: bytes
    lfs: bool = False

    @property
    def oid(self) -> str:
        """SHA-256 of what lies in LFS, git's own id of the rest; the file's ETag."""
        return hashlib.sha256(self.data).hexdigest() if self.lfs else git_oid(self.data)


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    owner: str
    private: bool = False
    gated: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, ref: str, files: dict[str, Blob], message: str) -> str:
        sha = hashlib.sha1(f"{len(self.commits)} {message} {sorted(files)}".encode()).hexdigest()
        self.commits[sha] = files
        self.refs[ref] = sha
        self.messages.append(message)
        return sha

    def files(self, revision: str = "main") -> dict[str, Blob]:
        return self.commits[self.refs.get(revision, revision)]

    def edit(self, name: str, old: str, new: str, ref: str = "main") -> None:
        """Somebody edits a text on the website."""
        text = self.files(ref)[name].data.decode()
        assert old in text
        self.commit(ref, {**self.files(ref), name: Blob(text.replace(old, new).encode())}, f"Update {name}")


class Refusal(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", commit: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self.status, self.headers = status, {key: value for key, value in headers.items() if value}


class LoopbackHub:
    """Serves until `close`.

    Attributes:
        repos: by id.
        asked: "METHOD path" of every request, in order; those to the file store begin with "CDN".
        broken: status of every answer, 0 for proper ones.
        before_commit: called when a commit arrives, before it is looked at.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.store: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.broken = 0
        self.before_commit: Any = lambda: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.cdn = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def create(self, name: str, **options: Any) -> Repo:
        self.repos[name] = Repo(name.split("/")[0], **options)
        self.repos[name].commit("main", {".gitattributes": Blob(b"*.safetensors filter=lfs\n")}, "initial commit")
        return self.repos[name]


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def handle_any(self) -> None:
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        self.parts = [unquote(part) for part in address.path.strip("/").split("/")]
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        store = self.headers["Host"].startswith("localhost")
        self.hub.asked.append(f"{'CDN ' if store else ''}{self.command} {unquote(address.path)}")
        try:
            if self.hub.broken:
                raise Refusal(self.hub.broken)
            if store:
                assert "Authorization" not in self.headers, "the token stays with the Hub"
                return self.serve_store()
            self.user = self.find_user()
            self.route()
        except Refusal as refusal:
            self.answer(refusal.status, {"error": refusal.headers.get("X-Error-Message", "no")}, refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def answer(self, status: int, body: Any = b"", headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # ── who may do what ──

    def find_user(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in USERS:
            raise Refusal(401, message="Invalid credentials in Authorization header")
        return USERS.get(token)

    def repo(self, name: str, *, write: bool = False, content: bool = False) -> Repo:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and repo.owner != self.user):
            raise Refusal(404 if self.user else 401, "RepoNotFound", "Repository not found")
        if content and repo.gated and repo.owner != self.user:
            raise Refusal(403 if self.user else 401, "GatedRepo", f"Access to model {name} is restricted")
        if write and not self.user:
            raise Refusal(401, message="Unauthorized")
        if write and repo.owner != self.user:
            raise Refusal(403, message="You don't have the rights to do this")
        return repo

    @staticmethod
    def at(repo: Repo, revision: str) -> str:
        sha = repo.refs.get(revision, revision)
        if sha not in repo.commits:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    # ── addresses ──

    def route(self) -> None:
        match self.command, self.parts:
            case "GET", ["api", "whoami-v2"]:
                if not self.user:
                    raise Refusal(401)
                return self.answer(200, {"name": self.user, "type": "user", "orgs": [], "auth": {"type": "access_token"}})
            case "POST", ["api", "repos", "create"]:
                return self.create_repo(json.loads(self.body))
            case "POST", ["api", "validate-yaml"]:
                return self.validate(json.loads(self.body)["content"])
            case method, ["api", "models", space, name, *rest]:
                return self.model(method, f"{space}/{name}", rest)
            case "POST", [space, name, "info", "lfs", "objects", "batch"]:
                return self.batch(f"{space}/{name.removesuffix('.git')}", json.loads(self.body)["objects"])
            case "GET" | "HEAD", [space, name, "resolve", revision, *path]:
                return self.resolve(f"{space}/{name}", revision, "/".join(path))
        raise Refusal(404)

    def create_repo(self, wanted: dict[str, Any]) -> None:
        if not self.user:
            raise Refusal(401, message="Unauthorized")
        name = f"{wanted['organization'] or self.user}/{wanted['name']}"
        url = {"url": f"{self.hub.url}/{name}"}
        if not name.startswith(f"{self.user}/"):
            raise Refusal(403, message=f"You don't have the rights to create a model under {wanted['organization']}")
        if name in self.hub.repos:
            return self.answer(409, {**url, "error": "You already created this model repo"})
        self.hub.create(name, private=wanted.get("visibility") == "private" or wanted.get("private", False))
        return self.answer(200, url)

    def validate(self, card: str) -> None:
        data = ModelCard(card, ignore_metadata_errors=True).data.to_dict()
        licence = data.get("license")
        errors = [] if licence in {None, *LICENCES} else [{"message": f'"license" must not be {licence}'}]
        if licence == "other" and not re.fullmatch(r"[a-z0-9.-]+", data.get("license_name", "")):
            errors.append({"message": '"license_name" is required'})
        self.answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def model(self, method: str, name: str, rest: list[str]) -> None:
        match method, rest:
            case "GET", [] | ["revision", _]:
                repo = self.repo(name)
                sha = self.at(repo, rest[1] if rest else "main")
                files = [{"rfilename": path} for path in repo.files(sha)]
                about = {"id": name, "modelId": name, "sha": sha, "private": repo.private, "gated": repo.gated, "tags": []}
                return self.answer(200, {**about, "downloads": 0, "likes": 0, "siblings": files})
            case "GET", ["refs"]:
                branches = [{"name": r, "ref": f"refs/heads/{r}", "targetCommit": c} for r, c in self.repo(name).refs.items()]
                return self.answer(200, {"branches": branches, "tags": [], "converts": []})
            case "GET", ["tree", revision]:
                repo = self.repo(name, content=True)
                return self.answer(200, [_entry(path, blob) for path, blob in repo.files(self.at(repo, revision)).items()])
            case "POST", ["branch", branch]:
                repo = self.repo(name, write=True)
                if branch in repo.refs:
                    raise Refusal(409, message="Reference already exists")
                repo.refs[branch] = repo.refs["main"]
                return self.answer(200, {})
            case "POST", ["preupload", revision]:
                return self.preupload(self.repo(name, write="create_pr" not in self.query), revision)
            case "POST", ["commit", revision]:
                return self.commit(name, revision)
        raise Refusal(404)

    def preupload(self, repo: Repo, revision: str) -> None:
        present = repo.files(self.at(repo, revision))
        asked = [file["path"] for file in json.loads(self.body)["files"]]
        files = [
            {
                "path": path,
                "uploadMode": "lfs" if path.endswith(LFS) else "regular",
                "shouldIgnore": False,
                "oid": present[path].oid if path in present else None,
            }
            for path in asked
        ]
        self.answer(200, {"files": files})

    def batch(self, name: str, objects: list[dict[str, Any]]) -> None:
        self.repo(name)
        answers = []
        for wanted in objects:
            actions = {"upload": {"href": f"{self.hub.cdn}/{wanted['oid']}"}}
            answers.append({**wanted, **({} if wanted["oid"] in self.hub.store else {"actions": actions})})
        self.answer(200, {"transfer": "basic", "objects": answers})

    def commit(self, name: str, revision: str) -> None:
        self.hub.before_commit()
        as_request = "create_pr" in self.query
        repo = self.repo(name, write=not as_request)
        head = self.at(repo, revision)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if not as_request and header.get("parentCommit", head) != head:
            raise Refusal(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repo.files(head))
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                files[value["path"]] = Blob(self.hub.store[value["oid"]], lfs=True)
        number = sum(ref.startswith("refs/pr/") for ref in repo.refs) + 1
        sha = repo.commit(f"refs/pr/{number}" if as_request else revision, files, header["summary"])
        request = f"{self.hub.url}/{name}/discussions/{number}" if as_request else None
        self.answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha, "pullRequestUrl": request})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repo = self.repo(name, content=True)
        sha = self.at(repo, revision)
        blob = repo.files(sha).get(path)
        if blob is None:
            raise Refusal(404, "EntryNotFound", "Entry not found", sha)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.oid}"'}
        if blob.lfs:
            self.hub.store[blob.oid] = blob.data
            linked = {"X-Linked-Etag": f'"{blob.oid}"', "X-Linked-Size": str(len(blob.data))}
            return self.answer(302, b"", headers | linked | {"Location": f"{self.hub.cdn}/{blob.oid}"})
        return self.answer(200, blob.data, headers)

    def serve_store(self) -> None:
        (oid,) = self.parts
        if self.command == "PUT":
            assert hashlib.sha256(self.body).hexdigest() == oid
            self.hub.store[oid] = self.body
            return self.answer(200)
        return self.answer(200, self.hub.store[oid])


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    pointer = {"lfs": {"oid": blob.oid, "size": len(blob.data), "pointerSize": 130}} if blob.lfs else {}
    return {"type": "file", "path": path, "size": len(blob.data), "oid": git_oid(blob.data), **pointer}
