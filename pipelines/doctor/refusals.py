"""What a storage says when it refuses, as a fault: which kind it is, and what to do about that kind."""

from __future__ import annotations

import errno
import re
from typing import NamedTuple

from pipelines.doctor.findings import Finding, Page, fault
from pipelines.errors import UserError
from pipelines.secrets import hidden

MOST_SAID = 300  # characters of what a library says


class Kind(NamedTuple):
    """What is said, what it means, what to do, and where it is explained."""

    words: str
    meaning: str
    remedy: str
    page: Page


CLOCK = "set the clock: a time service such as chrony"
KINDS = (
    Kind(r"ExpiredToken|TokenRefreshRequired|RequestExpired|token.{0,40}expired|[Ee]xpired", "the credential has expired",
         "renew it where the node takes it from (AWS_SESSION_TOKEN, aws sso login, the role of the machine)", Page.CREDENTIAL),
    Kind(r"RequestTimeTooSkewed|REQUEST_TIME_TOO_SKEWED", "the storage finds that the clock is off", CLOCK, Page.CLOCK),
    Kind(r"InvalidAccessKeyId|INVALID_ACCESS_KEY_ID|SignatureDoesNotMatch|SIGNATURE|InvalidToken|InvalidClientTokenId|"
         r"INVALID_CLIENT_TOKEN_ID|AuthFailure|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION",
         "the storage does not know these keys", "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile, there",
         Page.CREDENTIAL),
    Kind(r"[Aa]nonymous|Could not load credentials|DefaultCredentialsError|NoCredentials", "no credential is found",
         "give the node one: environment, profile or role", Page.CREDENTIAL),
    Kind(r"NO_SUCH_BUCKET|NoSuchBucket|bucket.{0,60}(not found|does not exist)|allow_bucket_creation",
         "there is no such bucket", "look at the address", Page.REACH),
    Kind(r"ACCESS_DENIED|AccessDenied|HTTP status 40[13]|Forbidden|PermissionDenied", "it is not allowed",
         "give the node's credential the right to it (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket)", Page.RIGHTS),
    Kind(r"HTTP status 30\d|PermanentRedirect|AuthorizationHeaderMalformed", "the bucket is in another region",
         "set AWS_DEFAULT_REGION, or ?region= in the address", Page.REACH),
    Kind(r"NETWORK_CONNECTION|curlCode|[Cc]ould ?n.t (resolve|connect)|timed? ?out|Connection (refused|reset)|HTTP status 50\d|"
         r"REQUEST_TIMEOUT|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|SLOW_DOWN",
         "the storage cannot be reached", "look at the node's route, firewall, proxy and the endpoint that it uses", Page.REACH),
    Kind(r"No response body|RESOURCE_NOT_FOUND|HTTP status 4", "the storage refuses", "look at the address and the credential",
         Page.REACH),
)  # fmt: skip
NUMBERS = {
    errno.ENOSPC: Kind("", "the disk is full", "free some room, or give another folder", Page.DISK),
    errno.EDQUOT: Kind("", "the quota is used up", "free some room, or ask for more", Page.DISK),
    errno.EFBIG: Kind("", "files may not be as large as that", "start the node after ulimit -f unlimited", Page.LIMITS),
    errno.EROFS: Kind("", "its file system is read-only", "mount it for writing, or give another folder", Page.RIGHTS),
    errno.EACCES: Kind("", "it is not allowed", "give yourself the right to it there, or another folder", Page.RIGHTS),
    errno.EPERM: Kind("", "it is not allowed", "give yourself the right to it there, or another folder", Page.RIGHTS),
    errno.ENOENT: Kind("", "it is not there", "mount it on all nodes, or give a URI", Page.NOT_SHARED),
    errno.ENOTDIR: Kind("", "a file is in its place", "give a folder", Page.NOT_SHARED),
    errno.EEXIST: Kind("", "a file is in its place", "give a folder", Page.NOT_SHARED),
    errno.ENOTCONN: Kind("", "its mount is broken", "mount it again", Page.NOT_SHARED),
    errno.ESTALE: Kind("", "its mount is stale", "mount it again", Page.NOT_SHARED),
    errno.EMFILE: Kind("", "too many files are open", "start the node after ulimit -n 65536", Page.LIMITS),
    errno.EIO: Kind("", "the disk fails", "look at the system's log there", Page.DISK),
}


def of_storage(check: str, done: str, error: BaseException, hint: str = "") -> Finding:
    """A fault of a storage.

    Args:
        check: what was looked at.
        done: what could not be done, such as `s3://bucket/runs cannot be written`.
        error: that it met, or one of ours that it is the cause of.
        hint: what else is known of the node.
    """
    error = error.__cause__ or error if isinstance(error, UserError) else error
    text = hidden(str(error).split("\n", maxsplit=1)[0])[:MOST_SAID]
    number = getattr(error, "errno", None)
    known = NUMBERS.get(number) if number is not None else None
    known = known or next((kind for kind in KINDS if re.search(kind.words, text)), None)
    if known is None:
        return fault(check, f"{done} ({text}){hint}", "look at that place", Page.REACH)
    return fault(check, f"{done}: {known.meaning}{hint}", known.remedy, known.page)
