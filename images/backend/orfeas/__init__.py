"""The ORFEAS studio's backend: pictures in, 3D models out."""

__version__ = "0.1.0"
