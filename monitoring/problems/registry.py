"""The registry of problems: every code that an error of the API bears (RFC 9457), its meaning and its remedy.

A code is never renamed: programs decide by it. The table in docs/rest.md is compared with this registry by a test.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

_TYPE_PREFIX: Final = "/api/problems/"


class ProblemType(NamedTuple):
    """A kind of error: its code, the status it comes with, and what is to be said about it."""

    code: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def type(self) -> str:
        """The URI reference that names the kind and leads to its explanation."""
        return _TYPE_PREFIX + self.code


def _registry(*kinds: tuple[str, int, str, str, str]) -> Mapping[str, ProblemType]:
    return {code: ProblemType(code, *rest) for code, *rest in kinds}  # type: ignore[arg-type]  # a tuple's rest


PROBLEM_TYPES: Final = _registry(
    # -- the request ------------------------------------------------------------------------------------
    (
        "validation_error", 400, "Some values cannot be used",
        "`errors` lists each value that was refused: its field, a code and a sentence.",
        "Correct the named fields and send the request again.",
    ),
    (
        "malformed_json", 400, "The body is not acceptable JSON",
        "The body is no JSON object, repeats a key, or holds what cannot be stored (NaN, NUL, too deep).",
        "`errors` says what and where. Send one JSON object in UTF-8.",
    ),
    (
        "malformed_request", 400, "The request cannot be understood",
        "The request is damaged: its body broke off, or its path, host or form cannot be read.",
        "Send it again whole.",
    ),
    (
        "out_of_range", 400, "A value is out of range",
        "The database cannot hold a value of the request.",
        "Send a smaller number or a later or earlier time.",
    ),
    (
        "method_not_allowed", 405, "The path has no such method",
        "`Allow` names the methods of this path.",
        "Use one of them.",
    ),
    (
        "not_acceptable", 406, "There is no answer of this media type",
        "`Accept` admits nothing that this path answers.",
        "Accept `application/json`, or `text/event-stream` for a stream.",
    ),
    (
        "body_too_large", 413, "The body is too large",
        "`detail` names the limit: 1 MiB for JSON, more where files are sent.",
        "Send less at once: bulk requests and files may be split.",
    ),
    (
        "unsupported_media_type", 415, "The body is of another media type",
        "The path takes no body of this `Content-Type` or `Content-Encoding`.",
        "Send plain `application/json`, or the file types that the operation names.",
    ),
    # -- who asks ---------------------------------------------------------------------------------------
    (
        "unauthenticated", 401, "The credentials are missing or no longer good",
        "There is no valid access token, API key or session. It is never said which part was wrong.",
        "Log in or refresh the token; of an API key ask whether it expired or was revoked.",
    ),
    (
        "insufficient_scope", 403, "The API key lacks a scope",
        "The key's user may do this, but the key has not the scope that `scope` and `WWW-Authenticate` name.",
        "Make a key with this scope (`POST /api/auth/api-keys`).",
    ),
    (
        "forbidden", 403, "The role may not do this",
        "The caller may see the object, but its role does not include this act.",
        "Let somebody with another role do it, or have the role changed.",
    ),
    (
        "person_required", 403, "Only a person may do this",
        "Keys and links are made by people who have logged in, not by keys or links.",
        "Log in with e-mail address and password.",
    ),
    (
        "cross_site", 403, "The request could come from another site",
        "A page's session needs its CSRF token (`X-CSRFToken`), and a stream its own site.",
        "Programs send `Authorization: Bearer` and no cookie.",
    ),
    (
        "no_organization", 403, "The account has no organisation",
        "The password is right, but the account is a member of no organisation.",
        "Have a superuser add it to one in the admin.",
    ),
    # -- what is asked for ------------------------------------------------------------------------------
    (
        "not_found", 404, "There is no such object",
        "It does not exist, or the caller may not see it: another organisation's object is never told apart.",
        "Check the reference or id, and with whose credentials you ask.",
    ),
    (
        "unknown_path", 404, "There is no such path",
        "No operation has this path.",
        "Compare it with `/api/schema`; paths have no slash at the end.",
    ),
    (
        "no_proof_of_delivery", 404, "There is no proof of delivery yet",
        "The shipment exists, but nobody has stored a proof of its delivery.",
        "Ask again after the event `proven`.",
    ),
    # -- the state of things ----------------------------------------------------------------------------
    (
        "illegal_transition", 409, "The shipment cannot move to this state",
        "`current` is its state, `allowed` the states to which it may move from there.",
        "Choose one of `allowed`, report what was seen as a checkpoint, or void the event that made it so wrongly.",
    ),
    (
        "duplicate_reference", 409, "The reference is in use",
        "Another shipment of the organisation has this reference, whatever its case.",
        "Read that shipment, or book under another reference.",
    ),
    (
        "not_a_draft", 409, "The shipment is not a draft",
        "Only drafts are deleted.",
        "Cancel it by a transition to `cancelled`.",
    ),
    (
        "not_voidable", 409, "The event cannot be voided",
        "Only commands (`transitioned`) and observations (`observed`) can; `detail` names its type.",
        "Void the event that made the shipment what it is wrongly; other changes are changed back.",
    ),
    (
        "source_event_conflict", 409, "The source event is stored with other content",
        "The `source` has told this `sourceEventId` otherwise, and the caller may not correct it.",
        "Let a dispatcher correct it, or report under an id of its own.",
    ),
    (
        "customer_in_use", 409, "The customer account is in use",
        "It has shipments or members.",
        "Keep it, or move those to another account first.",
    ),
    (
        "file_not_ready", 409, "The export has no file",
        "It is queued or running, or ended without a file: `detail` names its state.",
        "Ask `GET /api/exports/{id}` until its state is `succeeded`.",
    ),
    (
        "file_expired", 410, "The file was removed",
        "Its owner removed it, or its time is over.",
        "Order the export again.",
    ),
    (
        "stale_version", 412, "The object has changed since it was read",
        "`If-Match` names a version that is no longer the current one.",
        "Read it again, decide anew, and send the new ETag.",
    ),
    (
        "precondition_required", 428, "If-Match is missing",
        "This change needs the version that it is based on.",
        "Send `If-Match` with the ETag that you read.",
    ),
    # -- the same request again -------------------------------------------------------------------------
    (
        "in_flight", 409, "The first request with this key is under way",
        "A request with the same `Idempotency-Key` has not ended yet.",
        "Wait for `Retry-After` and send it again: the answer of the first follows.",
    ),
    (
        "key_reused", 422, "The key belongs to another request",
        "The same `Idempotency-Key` came with another method, path or body.",
        "Give every request a key of its own.",
    ),
    (
        "idempotency_unsupported", 400, "This operation takes no Idempotency-Key",
        "Nothing would be remembered under the key, so a repetition would be done again.",
        "Leave the header out; the operation's description says what a repetition does.",
    ),
    # -- limits -----------------------------------------------------------------------------------------
    (
        "rate_limited", 429, "A rate limit is used up",
        "`RateLimit-Policy` and `RateLimit` name the policy and what is left.",
        "Wait for `Retry-After`.",
    ),
    (
        "too_many_failures", 429, "Too many logins have failed",
        "The account or address has failed too often within the window.",
        "Wait for `Retry-After`; more attempts do not shorten it.",
    ),
    (
        "logins_busy", 429, "Many people are logging in",
        "More passwords wait to be checked than the process takes.",
        "Try again after `Retry-After`.",
    ),
    (
        "too_many_jobs", 429, "The caller has two unfinished jobs",
        "A user may have two unfinished exports and two unfinished imports.",
        "Wait for one to end, or cancel it.",
    ),
    (
        "exports_busy", 429, "The server runs as many exports as it may",
        "Reports, documents and dry runs take turns, and the queue is full.",
        "Try again after `Retry-After`, or order the export in the background.",
    ),
    (
        "too_many_streams", 429, "There are too many streams or sockets",
        "The user or address has too many open, or opens them too fast.",
        "Close some, or wait for `Retry-After`.",
    ),
    # -- the service ------------------------------------------------------------------------------------
    (
        "internal_error", 500, "Something broke",
        "A defect of the service; `requestId` finds it in the log.",
        "Report the `requestId`. A write with an `Idempotency-Key` may be sent again.",
    ),
    (
        "unavailable", 503, "The database does not answer",
        "It restarts, or cannot be reached. Nothing was changed.",
        "Try again after `Retry-After`.",
    ),
    (
        "locked", 503, "Somebody else is changing this",
        "The object was locked for longer than a request waits. Nothing was changed.",
        "Try again after `Retry-After`.",
    ),
    (
        "busy", 503, "All database connections are in use",
        "More requests wait for a connection than can be served in time. Nothing was changed.",
        "Try again after `Retry-After`.",
    ),
    (
        "outcome_unknown", 503, "It is not known whether this was done",
        "The database went away during COMMIT: all was committed, or nothing.",
        "Send it again with the same `Idempotency-Key`, or read what became of it.",
    ),
    (
        "file_missing", 503, "The file is not on this server",
        "The export is finished, but the server that answers has not its file.",
        "Try again, or order it anew; if it stays so, servers do not share `EXPORT_DIR`.",
    ),
    (
        "pdf_unavailable", 503, "The document could not be drawn",
        "The installation lacks the libraries, or this document failed: see `detail`.",
        "Try again once; else tell the operators.",
    ),
    (
        "pictures_unavailable", 503, "Pictures cannot be read just now",
        "The process that decodes pictures is not available. Nothing was stored.",
        "Try again soon.",
    ),
    (
        "stream_unavailable", 503, "The stream could not be opened",
        "Its reason was gone when the request was looked at again.",
        "Try again.",
    ),
    (
        "gateway_unavailable", 503, "No process can answer",
        "The proxy found no process that serves, for example during a restart; the status may be 502 or 504 too.",
        "Try again after `Retry-After`; send a write again with its `Idempotency-Key`.",
    ),
)  # fmt: skip
