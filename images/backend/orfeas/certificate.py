"""When the studio's certificate expires."""

import logging
from pathlib import Path

from cryptography import x509

from orfeas import metrics

log = logging.getLogger(__name__)


class Monitor:
    """Reads the certificate anew with each sample, as Kubernetes swaps the file when it is renewed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._problem = ""

    def sample(self) -> None:
        if self._file is None:
            return
        expiry, problem = metrics.ABSENT, ""
        try:
            # Those of the chain follow it.
            certificate = x509.load_pem_x509_certificates(self._file.read_bytes())[0]
            expiry = certificate.not_valid_after_utc.timestamp()
        except (OSError, ValueError) as error:
            problem = str(error)
        metrics.certificate_expiry.set(expiry)
        if problem != self._problem:
            self._problem = problem
            if problem:
                log.warning("no metrics of the certificate", extra={"file": str(self._file), "reason": problem})
            else:
                log.info("the certificate can be read again", extra={"file": str(self._file)})
