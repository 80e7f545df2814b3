"""The environment is checked as a whole, and each fault says what to do."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GUNICORN_CONFIG, HERE, SECRET_KEY

FAULTS = {
    "DEBUG": ("maybe", "expected 1 or 0"),
    "DEVICE": ("tpu", "expected cuda or cpu"),
    "GPU_MEMORY_LIMIT": ("80", "expected a share of the GPU's memory over 0 and up to 1"),
    "MAX_CONCURRENT_JOBS": ("0", "expected a whole number of jobs, 1 or more"),
    "MODEL_ENGINE": ("magic", "expected hunyuan3d or relief"),
    "HUNYUAN3D_PATH": ("", "expected a model repository or folder"),
    "JOB_TIMEOUT_SECONDS": ("5m", "expected a whole number of seconds"),
    "DRAIN_SECONDS": ("-1", "expected a whole number of seconds"),
    "GUNICORN_WORKERS": ("2.5", "expected a whole number of processes"),
    "GUNICORN_MAX_REQUESTS": ("many", "expected a whole number of requests"),
    "MAX_FILE_SIZE": ("50MB", "expected a whole number of bytes"),
    "MAX_IMAGE_DIMENSION": ("0", "expected a whole number of pixels"),
    "LOG_LEVEL": ("LOUD", "expected DEBUG, INFO, WARNING or ERROR"),
    "LOG_FORMAT": ("xml", "expected json or text"),
    "LOG_BACKUP_COUNT": ("-2", "expected a whole number of files, 0 or more"),
    "WEBSOCKET_PING_TIMEOUT": ("soon", "expected a whole number of seconds"),
    "RATE_LIMIT_PER_MINUTE": ("0", "expected a whole number of requests"),
    "CORS_ORIGINS": ("https://a.example.org/path", "expected origins with commas between them"),
    "REDIS_PORT": ("70000", "expected a port from 1 to 65535"),
    "REDIS_DB": ("16", "expected a number from 0 to 15"),
    "SESSION_COOKIE_SAMESITE": ("lax", "expected Strict, Lax or None"),
}


def start(folder: Path, command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "SECRET_KEY").write_text(SECRET_KEY)
    environment = {
        "PYTHONPATH": str(HERE.parent),
        "SECRET_KEY_FILE": str(folder / "SECRET_KEY"),
        "MODEL_ENGINE": "relief",
    }
    for variable in ("OUTPUT_DIR", "UPLOAD_DIR", "LOG_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        environment[variable] = str(folder)
    return subprocess.run(
        [sys.executable, *command], env=environment | settings, capture_output=True, text=True, timeout=60, check=False
    )


def test_all_faults_are_told_at_once_one_line_each(tmp_path: Path) -> None:
    settings = {name: value for name, (value, _) in FAULTS.items()}
    result = start(tmp_path, ["-m", "orfeas.worker"], **settings)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == len(FAULTS)
    for name, (_, expected) in FAULTS.items():
        (line,) = [line for line in lines if line.startswith((f"orfeas: {name}=", f"orfeas: {name}:"))]
        assert expected in line


API = ["-m", "gunicorn", "-c", str(GUNICORN_CONFIG), "orfeas.api:app"]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("CHANGE_ME_IN_PRODUCTION_USE_STRONG_RANDOM_STRING", "still has the placeholder"),
        ("a-short-one\n", "has 11 characters"),
    ],
    ids=["placeholder", "short"],
)
def test_the_api_does_not_start_with_a_weak_secret_key_or_show_it(tmp_path: Path, key: str, problem: str) -> None:
    weak = tmp_path / "weak"
    weak.write_text(key)
    result = start(tmp_path, API, SECRET_KEY_FILE=str(weak))
    assert result.returncode == 1
    assert f"orfeas: SECRET_KEY_FILE='{weak}': {problem}; expected 32 or more random characters" in result.stderr
    assert key not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_secret_key_is_told(tmp_path: Path) -> None:
    result = start(tmp_path, API, SECRET_KEY_FILE="/missing")
    assert result.returncode == 1
    assert "orfeas: SECRET_KEY_FILE='/missing': cannot be read (No such file or directory); expected" in result.stderr


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"DEFAULT_STEPS": "5"}, "expected MIN_STEPS ≤ DEFAULT_STEPS ≤ MAX_STEPS"),
        ({"CORS_ORIGINS": "*"}, "expected named origins, or CORS_ALLOW_CREDENTIALS=0"),
        ({"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": "0"}, "SESSION_COOKIE_SECURE=0"),
        ({"POD_NAME": "a/b"}, "expected a name that no other running pod has"),
    ],
    ids=["steps", "origins", "cookies", "pod"],
)
def test_settings_that_contradict_each_other_are_told(tmp_path: Path, settings: dict[str, str], expected: str) -> None:
    result = start(tmp_path, ["-m", "orfeas.realtime"], **settings)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert expected in line


def test_folders_that_cannot_be_written_to_are_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    result = start(tmp_path, ["-m", "orfeas.worker"], OUTPUT_DIR=missing, LOG_DIR=missing)
    assert result.returncode == 1
    assert [line.split("=")[0] for line in result.stderr.splitlines()] == ["orfeas: LOG_DIR", "orfeas: OUTPUT_DIR"]
