"""Every error that the package raises on purpose, in one tree with deriva-ml's names.

    DerivaMLException
      DerivaMLConfigurationError            what was asked for or set up cannot work
        DerivaMLSchemaError                 the catalog lacks a table or column that is needed
          DerivaMLSchemaRefreshBlocked      the schema cannot be read anew now
          DerivaMLSchemaPinned              the schema is that of a snapshot, and stays so
        DerivaMLAuthenticationError         no credential, or one that is not accepted
          DerivaMLCredentialExpired         the server takes the credential at hand no longer, or never did
        DerivaMLOfflineError                the catalog cannot be reached
        DerivaMLNotProvided                 deriva-ml has it, and this package does not
      DerivaMLDataError                     what is in the catalog, or was to go there
        DerivaMLNotFoundError
          DerivaMLDatasetNotFound, DerivaMLTableNotFound, DerivaMLInvalidTerm, DerivaMLFeatureNotFound,
          DerivaMLRidsNotFound, NoAssociationException
        AmbiguousAssociationException       several association tables where one is needed
        DerivaMLTableTypeError              a table of another kind was expected
        DerivaMLValidationError             a value that cannot be accepted
          DerivaMLMaterializeLimitExceeded  more rows than the caller wanted to hold
        DerivaMLCycleError                  a dataset would contain itself
        DerivaMLStateInconsistency          journal and catalog contradict each other
        DerivaMLCatalogConflict             the catalog refused a write because of what it already holds
        DerivaMLChecksumError               bytes are not those that were promised
      DerivaMLExecutionError                the run of an execution
        DerivaMLWorkflowError
          DerivaMLDirtyWorkflowError
        DerivaMLUploadError                 something was not delivered; everything staged is still there
        DerivaMLOwnershipError              another process owns this execution
        DerivaMLAttemptError                the user's code must not run again for this execution
        DerivaMLNestedError                 some parts of an execution failed
        DerivaMLProcessError                the process that ran the user's code died
      DerivaMLDenormalizeError              tables cannot be joined to one wide table as asked
        DerivaMLDenormalizeMultiLeaf, DerivaMLDenormalizeNoSink, DerivaMLDenormalizeDownstreamLeaf,
        DerivaMLDenormalizeAmbiguousPath, DerivaMLDenormalizeUnrelatedAnchor
      DerivaMLReadOnlyError                 the handle cannot write
      InvalidTransitionError                an edge that the status diagram does not have

A message says what happened, to what, and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class DerivaMLException(Exception):
    """Root of the tree: catching it catches everything that this package raises on purpose."""


class DerivaMLConfigurationError(DerivaMLException):
    """What was asked for, or how it is set up, cannot work."""


class DerivaMLSchemaError(DerivaMLConfigurationError):
    """The catalog lacks a schema, table or column that is needed."""


class DerivaMLSchemaRefreshBlocked(DerivaMLSchemaError):
    """The schema cannot be read anew now."""


class DerivaMLSchemaPinned(DerivaMLSchemaError):
    """The schema is that of a snapshot, and stays so."""


class DerivaMLAuthenticationError(DerivaMLConfigurationError):
    """No credential for the host, or one that is not accepted (any more)."""


class DerivaMLCredentialExpired(DerivaMLAuthenticationError):
    """The server asks who we are, and the credential at hand is no answer (any more): log in again."""


class DerivaMLOfflineError(DerivaMLConfigurationError):
    """The server cannot be reached, or gave no usable answer."""

    retry_after: float = 0.0
    """Seconds that the server asks to be left alone for."""
    redirected: bool = False
    """Whether the server named another address, which was not followed."""


class DerivaMLNotProvided(DerivaMLConfigurationError, AttributeError, NotImplementedError):
    """deriva-ml has a function or member of this name, and this package does not; the message says what to do."""


class DerivaMLDataError(DerivaMLException):
    """Something about the data in the catalog, or on its way there."""


class DerivaMLNotFoundError(DerivaMLDataError):
    """There is no such thing in the catalog."""


class DerivaMLDatasetNotFound(DerivaMLNotFoundError):
    """No dataset, or no such version of it."""


class DerivaMLTableNotFound(DerivaMLNotFoundError):
    """No table of that name in the domain schemas, the ML schema or WWW."""


class DerivaMLInvalidTerm(DerivaMLNotFoundError):
    """The vocabulary has no such term, neither as a name nor as a synonym."""


class DerivaMLFeatureNotFound(DerivaMLNotFoundError):
    """The table has no feature of that name."""


class DerivaMLRidsNotFound(DerivaMLNotFoundError):
    """Some of the RIDs are in no table, or not in the one asked for."""


class NoAssociationException(DerivaMLNotFoundError, DerivaMLSchemaError):
    """There is no association table between two tables."""


class AmbiguousAssociationException(DerivaMLDataError, DerivaMLSchemaError):
    """There are several association tables between two tables, and one is needed."""


class DerivaMLTableTypeError(DerivaMLDataError):
    """A table of another kind was expected: an asset table, a vocabulary, a dataset element."""


class DerivaMLValidationError(DerivaMLDataError, ValueError):
    """A value that cannot be accepted; nothing was written."""


class DerivaMLMaterializeLimitExceeded(DerivaMLValidationError):
    """There are more rows than the caller wanted to hold."""


class DerivaMLCycleError(DerivaMLDataError):
    """The dataset would contain itself."""


class DerivaMLStateInconsistency(DerivaMLDataError):
    """Journal and catalog contradict each other in a way that no rule settles."""


class DerivaMLCatalogConflict(DerivaMLDataError):
    """The catalog refused a write because of what it already holds (HTTP 409 and 412)."""


class DerivaMLChecksumError(DerivaMLDataError):
    """Bytes are not those that their checksum promised."""


class DerivaMLExecutionError(DerivaMLException):
    """Something about running an execution."""


class DerivaMLWorkflowError(DerivaMLExecutionError):
    """The workflow is missing, or the code that runs cannot be identified."""


class DerivaMLDirtyWorkflowError(DerivaMLWorkflowError):
    """The code that runs has changes that are not committed."""


class DerivaMLUploadError(DerivaMLExecutionError):
    """Some effects were not delivered. Everything staged is still there: upload again, or resume.

    `failed` names each one with its reason. `passing` says that sending the same again may succeed for all of them: the
    server could not be reached, or answered that it is not well.
    """

    def __init__(self, message: str, failed: Sequence[tuple[str, str]] = (), *, passing: bool = False) -> None:
        super().__init__(message)
        self.failed = tuple(failed)
        self.passing = passing


class DerivaMLOwnershipError(DerivaMLExecutionError):
    """Another process owns this execution; this one writes nothing."""


class DerivaMLAttemptError(DerivaMLExecutionError):
    """The user's code must not run again for this execution."""


class DerivaMLNestedError(DerivaMLExecutionError):
    """Some parts of an execution failed; the message names them. The others are recorded as they ended."""


class DerivaMLProcessError(DerivaMLExecutionError):
    """The process that the user's code had for itself died, or what came of the code cannot be sent from there."""


class DerivaMLDenormalizeError(DerivaMLException):
    """Tables cannot be joined to one wide table in the way asked for."""


class DerivaMLDenormalizeMultiLeaf(DerivaMLDenormalizeError):
    """Several tables could be the one that gives a row each: name it."""


class DerivaMLDenormalizeNoSink(DerivaMLDenormalizeError):
    """No table can be the one that gives a row each."""


class DerivaMLDenormalizeDownstreamLeaf(DerivaMLDenormalizeError):
    """A table asked for has several rows for one of the table that gives a row each."""


class DerivaMLDenormalizeAmbiguousPath(DerivaMLDenormalizeError):
    """Two tables are joined by more than one way: say which."""


class DerivaMLDenormalizeUnrelatedAnchor(DerivaMLDenormalizeError):
    """A table asked for is not joined with the others at all."""


class DerivaMLReadOnlyError(DerivaMLException):
    """The handle cannot write: a bag, a snapshot, a dry run."""


class InvalidTransitionError(DerivaMLException):
    """An edge that the status diagram does not have."""
