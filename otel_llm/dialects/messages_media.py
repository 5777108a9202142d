"""Media in messages: every way to attach an image, a sound, a film or a document, as blob, uri or file parts.

Content is kept as it stands: base64 stays base64, and nothing is fetched or decoded.
Source: semconv gen-ai-input-messages.json, BlobPart, UriPart, FilePart.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from otel_llm.dialects.messages_json import JsonObject, as_object, as_text, first

_MODALITIES: Final = ("image", "video", "audio")
_FORMATS: Final = {
    "mp3": "audio/mpeg",
    "jpg": "image/jpeg",
    "txt": "text/plain",
    "md": "text/markdown",
    "mov": "video/quicktime",
}
_APPLICATION_FORMATS: Final = frozenset({"pdf", "docx", "xlsx", "doc", "xls"})
# Keys that hold data, a URL, or an object that does; the more specific before the more general.
_DATA: Final = (
    *("image_url", "input_audio", "video_url", "audio_url", "file_data", "inline_data", "inlineData", "fileData"),
    *("data", "bytes", "base64", "content", "s3Location", "source", "file", "image", "audio", "video", "document"),
)
_MAX_NESTING: Final = 3
_URL_PREFIXES: Final = ("data:", "http://", "https://", "gs://", "s3://", "file:", "blob:")


def media_part(part: Mapping[str, object], modality: str) -> JsonObject | None:
    """The blob, uri or file part that a provider's media part means; None when it holds no reference and no data.

    Args:
        part: a part of any provider: OpenAI `image_url`, `input_audio`, `file`; Anthropic `source`; Bedrock
            `{format, source}`; Gemini `inlineData`, `fileData`; Vercel `image`, `data`; Pydantic AI `binary`, `*-url`.
        modality: what the part's type says: image, video, audio or document.
    """
    return _read(part, modality, None, 0)


def _read(source: Mapping[str, object], modality: str, mime: str | None, depth: int) -> JsonObject | None:
    mime = _mime(source, modality) or mime
    uri = as_text(first(source, "url", "uri", "file_uri", "fileUri", "file_url"))
    if uri is not None:
        return url_part(uri, modality, mime)
    file_id = as_text(first(source, "file_id", "fileId"))
    if file_id is not None:
        return {"type": "file", **_described(modality, mime), "file_id": file_id}
    for key in _DATA:
        value = source.get(key)
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        if isinstance(value, str) and value:
            return url_part(value, modality, mime) if value.startswith(_URL_PREFIXES) else _blob(value, modality, mime)
        inner = as_object(value)
        if inner is not None and depth < _MAX_NESTING:
            found = _read(inner, modality, mime, depth + 1)
            if found is not None:
                return found
    return None


def url_part(url: str, modality: str, mime: str | None = None) -> JsonObject:
    """A blob part for a `data:` URL, else a uri part."""
    if not url.startswith("data:"):
        return {"type": "uri", **_described(modality, mime), "uri": url}
    header, _, content = url[5:].partition(",")
    return _blob(content, modality, header.partition(";")[0] or mime)


def modality_of(mime: str | None, otherwise: str = "document") -> str:
    """The modality that a MIME type belongs to."""
    if mime is None:
        return otherwise
    family = mime.partition("/")[0]
    return family if family in _MODALITIES else "document"


def _blob(content: str, modality: str, mime: str | None) -> JsonObject:
    return {"type": "blob", **_described(modality, mime), "content": content}


def _described(modality: str, mime: str | None) -> JsonObject:
    described: JsonObject = {} if mime is None else {"mime_type": mime}
    return {**described, "modality": modality_of(mime, modality) if modality == "document" else modality}


def _mime(source: Mapping[str, object], modality: str) -> str | None:
    mime = as_text(first(source, "mime_type", "media_type", "mimeType", "mediaType"))
    if mime is not None:
        return mime
    kind = as_text(source.get("format"))
    if kind is None or "/" in kind:
        return kind
    kind = kind.lower()
    family = "application" if kind in _APPLICATION_FORMATS else "text" if modality == "document" else modality
    return _FORMATS.get(kind, f"{family}/{kind}")
