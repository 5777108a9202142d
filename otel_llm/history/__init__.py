"""Conversations whose history is told once: a reference stands where messages were that another span has.

Each call of a conversation sends all that was said before, so that the spans of 50 turns hold the first message 50
times. `shortening` writes references in the place of what other spans hold, `restoring` puts back what they refer to.

A reference names a span and a number: the first so many messages of what that span holds, its input and then its
answer as the next call sends it. It names no digest of the text: nothing can be guessed from it, and it stays true
when whoever is behind us masks texts of both spans.
"""

from otel_llm.history.references import Reference, join, split
from otel_llm.history.restoring import MissingError, Record, Restorer
from otel_llm.history.shortening import Conversation, Memory, shorten_messages, shorten_value

__all__ = [
    "Conversation",
    "Memory",
    "MissingError",
    "Record",
    "Reference",
    "Restorer",
    "join",
    "shorten_messages",
    "shorten_value",
    "split",
]
