"""The expiry of the studio's certificate, as /metrics tells it."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orfeas import certificate, metrics

JULY = datetime(2031, 7, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "studio.example.org")])


def pem(expiry: datetime) -> bytes:
    """A certificate that is valid until then."""
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(expiry - timedelta(days=90)).not_valid_after(expiry)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def shown() -> list[float]:
    lines = metrics.render().decode().splitlines()
    return [float(line.split()[1]) for line in lines if line.startswith("orfeas_certificate_expiry_timestamp_seconds ")]


@pytest.fixture(autouse=True)
def _forget() -> None:
    metrics.certificate_expiry.set(metrics.ABSENT)


def test_the_first_certificate_of_a_chain_counts(tmp_path: Path) -> None:
    file = tmp_path / "tls.crt"
    file.write_bytes(pem(JULY) + pem(JULY + timedelta(days=3650)))
    certificate.Monitor(file).sample()
    assert shown() == [JULY.timestamp()]


def test_a_renewed_certificate_is_noticed_though_kubernetes_swaps_a_link(tmp_path: Path) -> None:
    for name, expiry in {"old": JULY, "new": JULY + timedelta(days=60)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(pem(expiry))
    (tmp_path / "current").symlink_to("old")
    (tmp_path / "tls.crt").symlink_to("current/tls.crt")
    monitor = certificate.Monitor(tmp_path / "tls.crt")
    monitor.sample()
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(tmp_path / "current")
    monitor.sample()
    assert shown() == [(JULY + timedelta(days=60)).timestamp()]


@pytest.mark.parametrize("content", [None, b"", b"no certificate", pem(JULY)[:200]])
def test_what_is_no_certificate_is_absent_and_logged_once(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orfeas")
    file = tmp_path / "tls.crt"
    file.write_bytes(pem(JULY))
    monitor = certificate.Monitor(file)
    monitor.sample()
    assert len(shown()) == 1
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    for _ in range(3):
        monitor.sample()
    assert shown() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    file.write_bytes(pem(JULY))
    monitor.sample()
    assert len(shown()) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_without_a_file_that_is_named_there_is_nothing_to_tell() -> None:
    certificate.Monitor(None).sample()
    assert shown() == []
