"""Hooks that make GenAI telemetry of an app's own calls, without the app knowing.

    libraries   what is instrumented
    loader      which emitter each library gets; puts hooks in when the app imports a library
     ├─ stainless   the hook for SDKs with one choke point (OpenAI, Anthropic, Groq, Together, ...)
     ├─ methods     the hook for SDKs without one: a table of their functions; relay: streams that are generators
     ├─ providers/  tables and extractors, one module for each library
    engine      everything that is the same for all: span, context, metrics, events, content, errors
     ├─ admit       admissions before a call
     ├─ call        one call from its request to its one end
     ├─ streams     chunks on their way to the app; raw and responses: answers that the app takes raw
     ├─ content     capture: redaction, limits, media
     ├─ instruments, outlet     what is recorded, and whose providers record it
    boundary    where failures of ours end
    patches     putting hooks in and taking them out
    imports     being told when a library has been imported, all of it

How to add a provider
---------------------
1. A module in `providers/`, named as the library is imported, with `LIBRARY = Library(install)`.
   - An SDK that Stainless generated (it has `_base_client.SyncAPIClient.request`): `install_stainless(StainlessLibrary(
     name, endpoint, provider))`, where `endpoint(method, url)` finds the Endpoint of a request.
   - Any other: `install_methods((Method(...), ...))`, one row for each function that calls go through, sync and async:
     the narrowest there is, on a class. `find` says what is asked for; `answered` sees to the answer, by default one
     that is whole or a generator; `by_attribute("_iterator")` is for stream objects, which the app still gets.
   - Where that does not fit, `answered` may do anything (botocore's bodies, LiteLLM's streams), as long as it tells the
     Call how it ended: `succeeded(answer)`, `failed(error)`, or a Watch for streams.
2. An `Endpoint` for each operation: pure functions from the request's body and the answer to attributes
   (`read_fields` with a table of words) and to Content (`dialects.messages.canonical_messages` reads most shapes), and
   an Accumulator for streams. They read SDK models and Views of JSON alike, by attribute; they may raise.
3. A row in `libraries.LIBRARIES`.
4. Tests in `tests/sdks`: the calls of the newest SDK and of the oldest that is claimed, in environments of their own,
   against a server on loopback; what is not traced is waived by name with a reason.

Nothing of an Endpoint runs between an app's chunks but `Accumulator.add`: keep it to a few attribute reads. Usage of a
stream is the last one that came, never a sum of those that did.

Importing this package imports no provider's library and reads nothing.
"""
