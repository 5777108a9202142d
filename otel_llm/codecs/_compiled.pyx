# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled reader of spans: the encodings that libraries write, in a third of the time of the portable reader.

And one loop of the writing side, `join_entries`. The reader reads only what leaves no doubt: fields of Span that are known, one-byte tags, minimal lengths, attributes that are a
key, a value and nothing else. Of anything else it says so (None) and the portable reader, which knows all that protobuf
allows, reads the span. So it can never read a span differently; it can only decline to. Every index is checked against
the end of the message around it before it is read.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcmp, memcpy

ctypedef const unsigned char* Bytes

cdef enum:
    MOST_ATTRIBUTES = 256
    MOST_STATUS = 4
    MOST_SHAPES = 8
    MOST_KEY_BYTES = 8192
    # A larger span is left to the portable reader, which decodes only what it is asked for.
    MOST_BYTES = 262144

cdef struct Place:
    # An attribute: key, then value, as offsets from the beginning of the span.
    int key
    int key_end
    int value
    int value_end


cdef inline Py_ssize_t read_length(Bytes data, Py_ssize_t* index, Py_ssize_t end) noexcept nogil:
    """A minimal length of at most three bytes that ends within the message; -1 for any other."""
    cdef Py_ssize_t at = index[0]
    cdef Py_ssize_t length
    if at >= end:
        return -1
    length = data[at]
    at += 1
    if length > 127:
        if at >= end:
            return -1
        length = (length & 127) | (<Py_ssize_t>(data[at] & 127) << 7)
        if data[at] > 127:
            at += 1
            if at >= end or data[at] > 127:
                return -1
            length |= <Py_ssize_t>data[at] << 14
        if data[at] == 0:
            return -1
        at += 1
    if length > end - at:
        return -1
    index[0] = at
    return length


cdef inline bint read_attribute(Bytes data, Py_ssize_t at, Py_ssize_t end, Place* place) noexcept nogil:
    """Whether the KeyValue is a key, a value and nothing else."""
    cdef Py_ssize_t length
    if at >= end or data[at] != 10:
        return False
    at += 1
    length = read_length(data, &at, end)
    if length < 0:
        return False
    place.key = <int>at
    at += length
    place.key_end = <int>at
    if at >= end or data[at] != 18:
        return False
    at += 1
    length = read_length(data, &at, end)
    if length < 0 or at + length != end:
        return False
    place.value = <int>at
    place.value_end = <int>end
    return True


cdef inline unsigned long long read_fixed64(Bytes data) noexcept nogil:
    cdef unsigned long long value = 0
    cdef int i
    for i in range(7, -1, -1):
        value = (value << 8) | data[i]
    return value


cdef class Shape:
    """The keys of a span, in their order."""

    cdef list encoded
    cdef list names
    cdef dict indices
    cdef readonly frozenset keys

    cdef bint fits(self, Bytes data, Place* places, Py_ssize_t count):
        cdef Py_ssize_t i, size
        cdef bytes key
        if len(self.encoded) != count:
            return False
        for i in range(count):
            key = <bytes>self.encoded[i]
            size = PyBytes_GET_SIZE(key)
            if size != places[i].key_end - places[i].key:
                return False
            if memcmp(PyBytes_AS_STRING(key), data + places[i].key, size) != 0:
                return False
        return True


cdef Shape make_shape(Bytes data, Place* places, Py_ssize_t count):
    """The shape of a span.

    Raises:
        UnicodeDecodeError: a key is not UTF-8.
    """
    cdef Shape shape = Shape.__new__(Shape)
    cdef Py_ssize_t i, size
    shape.encoded = []
    shape.names = []
    shape.indices = {}
    for i in range(count):
        size = places[i].key_end - places[i].key
        name = PyUnicode_DecodeUTF8(<const char*>(data + places[i].key), size, NULL)
        shape.encoded.append(PyBytes_FromStringAndSize(<const char*>(data + places[i].key), size))
        shape.names.append(name)
        shape.indices[name] = i
    shape.keys = frozenset(shape.names)
    return shape


cdef class Shapes:
    """The shapes last seen in a scope; spans come in runs of a few.

    Args:
        decode: makes a Python value of an encoded AnyValue that holds an array, a list of pairs or bytes.
        odd: what `decode` returns of a value that the portable reader has to look at.
    """

    cdef list known
    cdef Py_ssize_t oldest
    cdef object decode
    cdef object odd

    def __init__(self, decode, odd):
        self.known = []
        self.oldest = 0
        self.decode = decode
        self.odd = odd

    cdef Shape find(self, Bytes data, Place* places, Py_ssize_t count):
        cdef Shape shape
        cdef Py_ssize_t i, size
        for i in range(len(self.known)):
            shape = <Shape>self.known[i]
            if shape.fits(data, places, count):
                return shape
        shape = make_shape(data, places, count)
        size = 0
        for i in range(count):
            size += places[i].key_end - places[i].key
        if size <= MOST_KEY_BYTES:
            if len(self.known) < MOST_SHAPES:
                self.known.append(shape)
            else:
                self.known[self.oldest] = shape
                self.oldest = (self.oldest + 1) % MOST_SHAPES
        return shape

    cdef object value(self, Bytes data, Py_ssize_t at, Py_ssize_t end):
        """An AnyValue as a Python value; `odd` when the portable reader has to look at it."""
        cdef unsigned char tag
        cdef Py_ssize_t start = at
        cdef Py_ssize_t length
        cdef unsigned long long number = 0
        cdef double real
        cdef int shift = 0
        if at == end:
            return None
        tag = data[at]
        at += 1
        if tag == 10:
            length = read_length(data, &at, end)
            if length < 0 or at + length != end:
                return self.odd
            return PyUnicode_DecodeUTF8(<const char*>(data + at), length, NULL)
        if tag == 24:
            while at < end and shift < 63:
                number |= <unsigned long long>(data[at] & 127) << shift
                if data[at] < 128:
                    return <long long>number if at + 1 == end else self.odd
                at += 1
                shift += 7
            return self.odd  # negative: ten bytes, seldom seen
        if tag == 33:
            if end - at != 8:
                return self.odd
            memcpy(&real, data + at, 8)  # little-endian machines only; hatch_build.py sees to it
            return real
        if tag == 16:
            if end - at != 1 or data[at] > 1:
                return self.odd
            return data[at] == 1
        if tag == 42 or tag == 50 or tag == 58:
            return self.decode(PyBytes_FromStringAndSize(<const char*>(data + start), end - start))
        return self.odd


cdef class Reading:
    """A span as it was read.

    Attributes:
        trace_id, span_id, parent_span_id, name, kind, start_unix_nano, end_unix_nano, scope_name, scope_version: as in
            an Operation's Source.
        status: the encoded Status, in pieces.
        get: returns the value of an attribute, None when there is none.
        payload, end: where the span is in `body`.
        resource_attributes: as given.
        events_read: for the class derived from this one to keep the events in.
    """

    cdef readonly bytes body
    cdef readonly Py_ssize_t payload
    cdef readonly Py_ssize_t end
    cdef readonly bytes trace_id
    cdef readonly bytes span_id
    cdef readonly bytes parent_span_id
    cdef readonly str name
    cdef readonly int kind
    cdef readonly unsigned long long start_unix_nano
    cdef readonly unsigned long long end_unix_nano
    cdef readonly list status
    cdef readonly str scope_name
    cdef readonly str scope_version
    cdef readonly object resource_attributes
    cdef readonly object get
    cdef public object events_read
    cdef Shape shape
    cdef dict values
    cdef Place* places

    def __cinit__(self):
        self.places = NULL

    def __dealloc__(self):
        PyMem_Free(self.places)

    @property
    def identity(self):
        """Trace, span and parent."""
        return self.trace_id, self.span_id, self.parent_span_id

    @property
    def size(self):
        """The length of `raw`."""
        return self.end - self.payload

    @property
    def raw(self):
        """The span's bytes."""
        return self.body[self.payload : self.end]

    def keys(self):
        """The keys of the span's attributes."""
        return self.shape.keys

    def has_exactly(self, keys):
        """Whether these are the keys of all attributes."""
        return keys is self.shape.keys or keys == self.shape.keys

    def encoded(self, key):
        """The encoded AnyValue of an attribute, None when there is no such attribute."""
        index = self.shape.indices.get(key)
        if index is None:
            return None
        cdef Place place = self.places[<Py_ssize_t>index]
        cdef Bytes data = <Bytes>PyBytes_AS_STRING(self.body) + self.payload
        return PyBytes_FromStringAndSize(<const char*>(data + place.value), place.value_end - place.value)


cdef bint read_fields(Reading span, Bytes data, Py_ssize_t end, Place* places, Py_ssize_t* count) except -1:
    """Whether all fields are as libraries write them; fills in all but the attributes' values."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length
    cdef unsigned char tag
    while at < end:
        tag = data[at]
        at += 1
        if tag == 0x39 or tag == 0x41:
            if end - at < 8:
                return False
            if tag == 0x39:
                span.start_unix_nano = read_fixed64(data + at)
            else:
                span.end_unix_nano = read_fixed64(data + at)
            at += 8
        elif tag == 0x85:  # flags: field 16, fixed32
            if end - at < 5 or data[at] != 1:
                return False
            at += 5
        elif tag == 0x30:  # kind; the counts of what was dropped need no reading, but their bytes must be known
            if at >= end or data[at] > 127:
                return False
            span.kind = data[at]
            at += 1
        elif tag == 0x50 or tag == 0x60 or tag == 0x70:
            if at >= end or data[at] > 127:
                return False
            at += 1
        else:
            if tag & 7 != 2 or tag > 0x7A:
                return False
            length = read_length(data, &at, end)
            if length < 0:
                return False
            if tag == 0x4A:
                if count[0] == MOST_ATTRIBUTES or not read_attribute(data, at, at + length, &places[count[0]]):
                    return False
                count[0] += 1
            elif tag == 0x0A:
                span.trace_id = PyBytes_FromStringAndSize(<const char*>(data + at), length)
            elif tag == 0x12:
                span.span_id = PyBytes_FromStringAndSize(<const char*>(data + at), length)
            elif tag == 0x22:
                span.parent_span_id = PyBytes_FromStringAndSize(<const char*>(data + at), length)
            elif tag == 0x2A:
                span.name = PyUnicode_DecodeUTF8(<const char*>(data + at), length, NULL)
            elif tag == 0x7A:
                if len(span.status) == MOST_STATUS:
                    return False
                span.status.append(PyBytes_FromStringAndSize(<const char*>(data + at), length))
            elif tag != 0x1A and tag != 0x5A and tag != 0x6A:  # trace state, events, links: left alone
                return False
            at += length
    return True


def read_span(type kind, bytes body, Py_ssize_t start, Py_ssize_t end, scope, resource, Shapes shapes):
    """The span between two indices of a request; None when the portable reader has to read it.

    Args:
        kind: the class to make, Reading or one derived from it.
        body: the request.
        start: where the span begins, after its tag and length.
        end: where it ends.
        scope: its scope.
        resource: its resource's attributes, to be kept.
        shapes: the shapes seen in its scope.
    """
    cdef Place places[MOST_ATTRIBUTES]
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    cdef Bytes data
    cdef Reading span
    cdef Shape shape
    cdef dict values = {}
    if start < 0 or end > PyBytes_GET_SIZE(body) or not 0 <= end - start <= MOST_BYTES:
        return None
    data = <Bytes>PyBytes_AS_STRING(body) + start
    span = <Reading?>kind.__new__(kind)
    span.trace_id = span.span_id = span.parent_span_id = b""
    span.name = ""
    span.status = []
    try:
        if not read_fields(span, data, end - start, places, &count):
            return None
        shape = shapes.find(data, places, count)
        for i in range(count):
            value = shapes.value(data, places[i].value, places[i].value_end)
            if value is shapes.odd:
                return None
            values[shape.names[i]] = value
    except UnicodeDecodeError:
        return None
    span.places = <Place*>PyMem_Malloc(count * sizeof(Place) + 1)
    if span.places == NULL:
        raise MemoryError
    memcpy(span.places, places, count * sizeof(Place))
    span.body = body
    span.payload = start
    span.end = end
    span.scope_name = scope.name
    span.scope_version = scope.version
    span.resource_attributes = resource
    span.shape = shape
    span.values = values
    span.get = values.get
    return span


def join_entries(dict overlay, dict texts, dict doubles, encode):
    """The encoded attributes of an overlay, in one piece.

    Args:
        overlay: value by key.
        texts: encoded entries by key and text.
        doubles: the beginnings of encoded entries by key; the eight bytes of the value follow.
        encode: makes the entry, given key and value, when it is not among these.
    """
    cdef list entries = []
    cdef double real
    cdef object known
    for key, value in overlay.items():
        if type(value) is str:
            known = texts.get(key)
            if known is not None:
                known = (<dict>known).get(value)
                if known is not None:
                    entries.append(known)
                    continue
        elif type(value) is float:
            known = doubles.get(key)
            if known is not None:
                real = value
                entries.append(known)
                entries.append(PyBytes_FromStringAndSize(<const char*>&real, 8))
                continue
        entries.append(encode(key, value))
    return b"".join(entries)
