"""The settings of all processes, from the environment, checked as a whole."""

import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, PositiveInt, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535, description="a port from 1 to 65535")]
Flag = Annotated[bool, Field(description="1 or 0")]


def count(default: int, unit: str) -> Any:
    return Field(default, description=f"a whole number of {unit}, 1 or more")


class Settings(BaseSettings):
    """Each field is an environment variable of the same name; its description says what is expected there."""

    model_config = SettingsConfigDict(case_sensitive=False, frozen=True, extra="ignore", env_ignore_empty=False)

    debug: Flag = False
    testing: Flag = False
    secret_key_file: Path = Field(Path("/etc/orfeas-app/SECRET_KEY"), description="a file with the key of sessions")

    device: Literal["cuda", "cpu"] = Field("cuda", description="cuda or cpu")
    gpu_memory_limit: float = Field(
        0.8, gt=0, le=1, description="a share of the GPU's memory over 0 and up to 1, such as 0.8"
    )
    max_concurrent_jobs: PositiveInt = count(3, "jobs")

    model_engine: Literal["hunyuan3d", "relief"] = Field("hunyuan3d", description="hunyuan3d or relief")
    hunyuan3d_path: str = Field(
        "tencent/Hunyuan3D-2", min_length=1, description="a model repository or folder that hy3dgen loads"
    )
    hf_home: Path = Field(Path("/app/models/huggingface"), description="a folder")
    hy3dgen_models: Path = Field(Path("/app/models/hy3dgen"), description="a folder")
    hf_hub_offline: Flag = False
    default_steps: PositiveInt = count(50, "inference steps")
    min_steps: PositiveInt = count(10, "inference steps")
    max_steps: PositiveInt = count(100, "inference steps")
    job_timeout_seconds: PositiveInt = count(300, "seconds")
    drain_seconds: PositiveInt = count(330, "seconds")

    xformers_disabled: Flag = True

    gunicorn_workers: PositiveInt = count(1, "processes")
    gunicorn_timeout: PositiveInt = count(300, "seconds")
    gunicorn_graceful_timeout: PositiveInt = count(30, "seconds")
    gunicorn_max_requests: PositiveInt = count(1000, "requests")
    gunicorn_keepalive: PositiveInt = count(5, "seconds")

    output_dir: Path = Field(Path("/app/outputs"), description="a folder")
    upload_dir: Path = Field(Path("/app/uploads"), description="a folder")
    max_file_size: PositiveInt = count(50 * 2**20, "bytes")
    max_image_dimension: PositiveInt = count(4096, "pixels")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["json", "text"] = Field("json", description="json or text")
    log_dir: Path = Field(Path("/app/logs"), description="a folder")
    log_max_bytes: PositiveInt = count(10 * 2**20, "bytes")
    log_backup_count: int = Field(5, ge=0, description="a whole number of files, 0 or more")

    metrics_enabled: Flag = True
    prometheus_multiproc_dir: Path = Field(Path("/run/orfeas/metrics"), description="a folder that all processes share")

    tls_certificate: Path | None = Field(None, description="a file with the studio's certificate and its chain, in PEM")

    websocket_enabled: Flag = True
    websocket_ping_timeout: PositiveInt = count(60, "seconds")
    websocket_ping_interval: PositiveInt = count(30, "seconds")
    websocket_max_size: PositiveInt = count(10 * 2**20, "bytes")

    rate_limit_enabled: Flag = True
    rate_limit_per_minute: PositiveInt = count(10, "requests")
    rate_limit_per_hour: PositiveInt = count(100, "jobs")

    cors_enabled: Flag = True
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins with commas between them, such as https://a.example.org,https://b.example.org, or *",
    )
    cors_allow_credentials: Flag = True

    redis_host: str = Field("redis", min_length=1, description="a host name or address")
    redis_port: Port = 6379
    redis_db: int = Field(0, ge=0, le=15, description="a number from 0 to 15")
    redis_password_file: Path | None = Field(None, description="a file with the password of Redis")
    job_retention_seconds: PositiveInt = count(7 * 86_400, "seconds")

    api_keys_dir: Path | None = Field(None, description="a folder with a file for each API key: its SHA-256 in hex")
    security_headers_enabled: Flag = True
    csrf_enabled: Flag = True
    session_cookie_secure: Flag = True
    session_cookie_httponly: Flag = True
    session_cookie_samesite: Literal["Strict", "Lax", "None"] = Field("Lax", description="Strict, Lax or None")

    image_to_3d_enabled: Flag = True
    texture_enabled: Flag = True
    background_removal_enabled: Flag = True
    quality_validation_enabled: Flag = True

    rtx_optimizations_enabled: Flag = True
    tensor_cores_enabled: Flag = True
    mixed_precision_enabled: Flag = True
    cuda_graphs_enabled: Flag = True

    api_port: Port = 5000
    realtime_port: Port = 5001
    worker_port: Port = 5002
    pod_name: str = Field(
        default_factory=socket.gethostname, pattern="^[^/]+$", description="a name that no other running pod has"
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        return (
            tuple(origin.strip() for origin in value.split(",") if origin.strip()) if isinstance(value, str) else value
        )

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is not an origin")
        return origins

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.min_steps <= self.default_steps <= self.max_steps:
            raise ValueError(
                f"DEFAULT_STEPS={self.default_steps}: is outside of MIN_STEPS={self.min_steps} and"
                f" MAX_STEPS={self.max_steps}; expected MIN_STEPS ≤ DEFAULT_STEPS ≤ MAX_STEPS"
            )
        if self.cors_enabled and self.cors_allow_credentials and "*" in self.cors_origins:
            raise ValueError(
                "CORS_ORIGINS='*': any site could act with the credentials of a visitor;"
                " expected named origins, or CORS_ALLOW_CREDENTIALS=0"
            )
        if self.session_cookie_samesite == "None" and not self.session_cookie_secure:
            raise ValueError(
                "SESSION_COOKIE_SECURE=0: browsers drop SameSite=None cookies that are not Secure; expected 1"
            )
        return self

    @property
    def log_folder(self) -> Path:
        """Where the logs of this pod are: several pods share LOG_DIR."""
        return self.log_dir / self.pod_name

    @property
    def redis_url(self) -> str:
        """The URL of Redis, without the password."""
        return f"redis://{self.redis_host}:{self.redis_port}/{self.redis_db}"


def faults(error: ValidationError, model: type[BaseModel] = Settings) -> list[str]:
    """What is wrong, one line a setting: name, value, problem, and what is expected."""
    lines = []
    for fault in error.errors(include_url=False):
        problem = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            lines.append(problem)
            continue
        name = str(fault["loc"][0])
        field = model.model_fields[name]
        if fault["type"] == "missing":
            lines.append(f"{name.upper()}: is not set; expected {field.description}")
            continue
        lines.append(
            f"{name.upper()}={fault['input']!r}: {problem[0].lower()}{problem[1:]}; expected {field.description}"
        )
    return lines


def load() -> Settings:
    """The settings, or the end of the process with all faults on standard error."""
    try:
        return Settings()
    except ValidationError as error:
        stop(faults(error))


def stop(lines: list[str]) -> Any:
    """End the process: it cannot run like this."""
    for line in lines:
        print(f"orfeas: {line}", file=sys.stderr)
    sys.exit(1)
