"""Messages of any convention, provider or framework as the conventions' messages.

The law of these modules: pure functions that never raise, take time linear in their input, and change nothing that is
in the conventions' shape already, so that doing it twice is doing it once. What nobody understands is kept as text.

    messages_canonical   a value of any shape
     ├─ messages_shapes      requests, responses, lists, envelopes
     ├─ messages_chat        one message
     ├─ messages_parts       its parts, by tables of messages_part_readers; messages_media, messages_tools
     └─ messages_reader      what is collected
    messages_indexed     attributes with numbers in their keys
    messages_events      one event for each message
    messages_documents   retrieved documents
    messages_finish      finish reasons
    messages_described   media without their bytes
    messages_json        JSON in and out

Source: semconv gen-ai-input-messages.json, gen-ai-output-messages.json, gen-ai-system-instructions.json.
"""

from __future__ import annotations

from otel_llm.dialects.messages_canonical import canonical_messages, known_messages, lift_system, text_messages
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_events import message_events, message_events_json
from otel_llm.dialects.messages_finish import canonical_finish_reason, canonical_finish_reasons
from otel_llm.dialects.messages_indexed import indexed_documents, indexed_messages, indexed_tools
from otel_llm.dialects.messages_json import dump
from otel_llm.dialects.messages_reader import Conversation
from otel_llm.dialects.messages_tools import canonical_tool_definitions, tool_arguments, tool_result

__all__ = [
    "Conversation",
    "canonical_documents",
    "canonical_finish_reason",
    "canonical_finish_reasons",
    "canonical_messages",
    "canonical_tool_definitions",
    "dump",
    "indexed_documents",
    "indexed_messages",
    "indexed_tools",
    "known_messages",
    "lift_system",
    "message_events",
    "message_events_json",
    "text_messages",
    "tool_arguments",
    "tool_result",
]
