"""Down from the Hub and up to it, with its client; each thing that can go wrong is one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from oneshot_sketch.errors import InputError

_WHO = "the Hub must know who you are to let you do this with {}; `hf auth login` or give a token."
_NO_HUB = "{} does not answer as a Hub does; check HF_ENDPOINT, and whether the network asks you to log in."
_ClientError = HfHubHTTPError.__bases__[0]  # of the HTTP client, which is another one every few versions


def download(
    repo: str,
    limits: Mapping[str, int],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> dict[str, Path]:
    """Files of one commit of a repository, through the Hub's cache.

    Args:
        limits: size in bytes above which a file is refused before it is fetched, by name.

    Raises:
        InputError: whatever keeps them from being here.
    """
    found: dict[str, Path] = {}
    commit = revision
    for name, limit in limits.items():
        with hub_errors(repo, revision):
            try:
                here = {"cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
                known = hf_hub_download(repo, name, revision=commit, dry_run=True, **here)
                if known.file_size is not None and known.file_size > limit:
                    raise InputError(f"{name} of {repo} is larger than {limit >> 20} MiB, so it is not a learned instruction's.")
                path = Path(hf_hub_download(repo, name, revision=commit, force_download=force_download, **here))
            except RemoteEntryNotFoundError:
                raise InputError(
                    f"{repo} is on the Hub but holds no {name}, so it is not a learned instruction; check its name."
                ) from None
        found[name], commit = path, path.parent.name  # the other files are of the same commit
    return found


@dataclass(frozen=True)
class Repository:
    """A model repository to push to, as it was when it was opened.

    Attributes:
        id: with its namespace.
        branch: to commit to; None is the default one.
        head: the commit it was at.
        files: their names at that commit.
    """

    api: HfApi
    id: str
    branch: str | None
    head: str
    files: frozenset[str]

    @classmethod
    def open(
        cls, repo: str, *, private: bool | None = None, branch: str | None = None, token: str | bool | None = None
    ) -> Repository:
        """Create the repository and the branch where they do not exist.

        Raises:
            InputError: not allowed, not reachable, or asked to be private while it is public.
        """
        api = HfApi(token=token)
        with hub_errors(repo, branch, pushing=True):
            name = api.create_repo(repo, private=private, exist_ok=True).repo_id
            info = api.model_info(name)
            if private and not info.private:
                raise InputError(f"{name} exists and is public; make it private in its settings on the Hub, or push elsewhere.")
            if branch is not None:
                if not branch.startswith("refs/"):
                    api.create_branch(name, branch=branch, exist_ok=True)
                info = api.model_info(name, revision=branch)
        return cls(api, name, branch, info.sha or "", frozenset(file.rfilename for file in info.siblings or ()))

    def read(self, name: str) -> str:
        """The text of a file; empty if there is none."""
        if name not in self.files:
            return ""
        with hub_errors(self.id, self.head, pushing=True):
            return Path(self.api.hf_hub_download(self.id, name, revision=self.head)).read_bytes().decode("utf-8-sig", "replace")

    def upload(self, folder: Path, message: str, *, create_pr: bool = False) -> CommitInfo:
        """Commit the files of a folder over those of their names, all at once; others stay.

        Raises:
            InputError: refused, interrupted, or somebody else committed since the repository was opened.
        """
        with hub_errors(self.id, self.branch, pushing=True):
            return self.api.upload_folder(
                repo_id=self.id,
                folder_path=folder,
                commit_message=message,
                revision=self.branch,
                create_pr=create_pr,
                parent_commit=self.head,
            )


@contextmanager
def hub_errors(repo: str, revision: str | None = None, *, pushing: bool = False) -> Iterator[None]:
    """What the Hub's client raises inside, as an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # they have no common ancestor
        raise InputError(_sentence(error, repo, revision, pushing)) from error


def _sentence(error: Exception, repo: str, revision: str | None, pushing: bool) -> str:
    match error:
        case HFValidationError():
            return f"{repo} is neither a folder nor a Hub repository; check the path."
        case GatedRepoError():
            page = f"{constants.ENDPOINT}/{repo}"
            return f"{repo} is gated and its owner has not let you in; ask at {page}, then `hf auth login` or give a token."
        case DisabledRepoError():
            return f"{repo} was disabled by the Hub; use another one."
        case LocalTokenNotFoundError():
            return _WHO.format(repo)
        case RepositoryNotFoundError() if pushing and _status(error) == 401:
            return _WHO.format(repo)
        case RepositoryNotFoundError() if _status(error) == 401:
            return (
                f"{repo} is no folder here and not public on the Hub; check the name, or, if it is private, `hf auth login` "
                "or give a token."
            )
        case RepositoryNotFoundError():
            return (
                f"{repo} is no folder here and does not exist on the Hub, or is private and not shown to you; check the name "
                "and the token."
            )
        case RevisionNotFoundError():
            return f"{repo} has no revision {revision!r}; give a branch, a tag or a commit that it has."
        case LocalEntryNotFoundError():
            return _absent(error, repo, revision)
        case OfflineModeIsEnabled():
            return f"offline mode is on, so {repo} cannot be reached; unset HF_HUB_OFFLINE."
        case HfHubHTTPError():
            return _refusal(error, repo)
        case _ if isinstance(error, _ClientError):
            return f"{constants.ENDPOINT} cannot be reached ({_reason(error)}); check the network and try again."
        case JSONDecodeError():
            return _NO_HUB.format(constants.ENDPOINT)
        case ValueError() if pushing:
            return f"the Hub does not take the card of {repo} ({_reason(error)}); correct its header there or in README.md."
        case OSError() if error.errno is not None:
            return f"{repo} could not be cached ({error.strerror}); free some space or choose another cache_dir."
        case _:
            return f"{repo} could not be opened on the Hub ({_reason(error)}); try again."


def _absent(error: LocalEntryNotFoundError, repo: str, revision: str | None) -> str:
    """Not in the cache, and the Hub was not asked or did not answer."""
    wanted = repo if revision is None else f"{repo} at {revision!r}"
    match error.__cause__:
        case None | OfflineModeIsEnabled():
            return f"{wanted} is no folder here and not in the cache, and offline mode is on; load it once with a network."
        case HfHubHTTPError() as cause:
            return _refusal(cause, repo)
        case FileMetadataError():
            return _NO_HUB.format(constants.ENDPOINT)
        case cause:
            reason = _reason(cause)
            return f"{wanted} is not in the cache and {constants.ENDPOINT} cannot be reached ({reason}); check the network."


def _refusal(error: HfHubHTTPError, repo: str) -> str:
    status = _status(error)
    if status == 401 and "authorization" not in error.response.request.headers:
        return _WHO.format(repo)
    if status == 401:
        return f"the Hub does not accept the token for {repo}; `hf auth login` again or give another."
    if status == 403:
        return f"the token in use gives no right to do this with {repo}; take one that does, or another repository."
    if status in (409, 412):
        return f"{repo} changed on the Hub in the meantime, and nothing was pushed; push again."
    if status == 429:
        return f"the Hub asks for a pause before it serves {repo} again; try later."
    if status >= 500:
        return f"the Hub is out of order (it answered {status} for {repo}); try again later."
    return f"the Hub refused {repo} ({_reason(error)}); check what was asked."


def _status(error: HfHubHTTPError) -> int:
    return error.response.status_code


def _reason(error: BaseException) -> str:
    """The first two lines that say something."""
    lines = [line.strip(" .-") for line in str(error).splitlines()]
    return ": ".join([line for line in lines if line][:2]) or type(error).__name__
