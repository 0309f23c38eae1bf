"""What the service's own steps raise, and which of it trying again can mend.

TriageError
├── ConfigurationError       settings, database level or model directory; the operator must act
├── ModelError               a model artifact that is damaged, incomplete or of another shape
├── PromotionError           a model that may not take the place of the one in service
├── WithdrawalError          a flag that a reader cannot withdraw
├── ReadingError             a study that cannot be read or judged as asked
│   └── UnknownStudyError
├── ExportError              cases that cannot be exported for training as asked
├── RunsAlreadyError         another process does this now, and one at a time may
├── RescreenError            a re-screening that cannot be started or stopped as asked
├── AccountError             a user that cannot be added or changed as asked
├── BackupError              a back-up that cannot be taken, or that is not whole
├── ReportPeriodError        a report of a period that cannot be
├── TransientError           the same work may succeed later: the row goes back with a delay
│   ├── DeviceLostError      only in another process
│   └── DeliveryRetryError
│       └── DestinationDownError
└── PermanentError           the same work will fail again: the row is failed with its reason
    └── DeliveryRefusedError
"""


class TriageError(Exception):
    """Base of everything the service raises on purpose."""


class ConfigurationError(TriageError):
    """The operator must change something; the message is one line that names it."""


class ModelError(TriageError):
    """A model artifact is damaged, incomplete or of another shape than its card says."""


class PromotionError(TriageError):
    """A model may not take the place of the one in service; the message says why and what to do."""


class WithdrawalError(TriageError):
    """A flag cannot be withdrawn; the message says why and what to do."""


class ReadingError(TriageError):
    """What a reader says of a study cannot be taken; the message says why and what to do."""


class UnknownStudyError(ReadingError):
    """No such study was received."""


class ExportError(TriageError):
    """Cases cannot be exported for training as asked; the message says why and what to do."""


class RunsAlreadyError(TriageError):
    """Another process does the same now, and one at a time may; wait for its end."""


class RescreenError(TriageError):
    """A re-screening cannot be started or stopped as asked; the message says why and what to do."""


class AccountError(TriageError):
    """A user cannot be added or changed as asked; the message says why and what to do."""


class BackupError(TriageError):
    """A back-up cannot be taken or restored; the message says why and what to do."""


class ReportPeriodError(TriageError):
    """A report is asked for of a period that cannot be; the message says what to do."""


class TransientError(TriageError):
    """The same work may succeed later."""


class DeviceLostError(TransientError):
    """The accelerator failed, and answers nothing in this process any more: the process must end and start again."""


class DeliveryRetryError(TransientError):
    """A destination could not be reached or asked to try later."""


class DestinationDownError(DeliveryRetryError):
    """A destination takes nothing at present, whatever is sent."""


class PermanentError(TriageError):
    """The same work will fail again."""


class DeliveryRefusedError(PermanentError):
    """A destination answered that it will not take this object."""
