"""Pictures as data URIs, so that one HTML file holds all of them."""

from __future__ import annotations

import base64
import io

from PIL import Image


def image_uri(image: Image.Image, form: str, **options: object) -> str:
    """An image in a format that Pillow writes and browsers read, with Pillow's options for it."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return data_uri(buffer.getvalue(), f"image/{form.lower()}")


def data_uri(content: bytes, kind: str) -> str:
    """A file's bytes under their MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
