"""Errors of the embedded DERIVA: each knows its HTTP status.

    HttpError
      BadRequest 400        Unauthorized 401     Forbidden 403         NotFound 404
      MethodNotAllowed 405  Conflict 409         LengthRequired 411    PreconditionFailed 412
      TooLarge 413          TargetTooLong 414    Unsupported 415       RangeUnsatisfiable 416
      NotImplementedHere 501 NoSpace 507

ERMrest writes `<sentence> Detail: <message>`, Hatrac the message alone: each service renders its own.
A mistake of the client never becomes a 5xx, since clients repeat those for minutes.
"""

from __future__ import annotations

from typing import ClassVar

from .http import Response


class HttpError(Exception):
    status: ClassVar[int] = 500
    sentence: ClassVar[str] = "Internal server error."

    def __init__(self, message: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers

    def response(self, *, sentence: bool) -> Response:
        """The error as an answer: one line of text, begun by the status's sentence if asked (ERMrest's form)."""
        message = " ".join((self.message or self.sentence).split())
        line = f"{self.sentence} Detail: {message}\n" if sentence else f"{message}\n"
        content = line.encode("utf-8", "replace")
        return Response(self.status, (("content-type", "text/plain"), *self.headers), content)


class BadRequest(HttpError):
    status = 400
    sentence = "Request malformed."


class Unauthorized(HttpError):
    status = 401
    sentence = "Access requires authentication."


class Forbidden(HttpError):
    status = 403
    sentence = "Access forbidden."


class NotFound(HttpError):
    status = 404
    sentence = "Resource not found."


class MethodNotAllowed(HttpError):
    status = 405
    sentence = "Request method not allowed on this resource."


class Conflict(HttpError):
    status = 409
    sentence = "Request conflicts with state of server."


class LengthRequired(HttpError):
    status = 411
    sentence = "Content-Length is required."


class PreconditionFailed(HttpError):
    status = 412
    sentence = "Resource state does not match requested preconditions."


class TooLarge(HttpError):
    status = 413
    sentence = "Request body is too large."


class TargetTooLong(HttpError):
    status = 414
    sentence = "Request target is too long."


class Unsupported(HttpError):
    status = 415
    sentence = "The request input type is not supported."


class RangeUnsatisfiable(HttpError):
    status = 416
    sentence = "Requested range cannot be satisfied."


class NotImplementedHere(HttpError):
    status = 501
    sentence = "Not implemented by the embedded DERIVA."


class NoSpace(HttpError):
    """The disk is full. 507, since clients repeat 500 and 503 for minutes without anybody making room."""

    status = 507
    sentence = "Insufficient storage."
