# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The searches that every text goes through, in one pass each: keywords, runs of digits, and forms of fixed places.

Each finds what the pattern of the same name in Python finds (tests/policy/detectors/test_compiled.py compares them on
any text), some ten times faster. Places are in characters. What is not ASCII is one kind of character: no letter, no
digit, and part of no keyword.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
from libc.string cimport memchr, memset, strchr

ctypedef const unsigned char* Text

cdef enum:
    DIGIT = 1
    WORD = 2
    HEX = 4
    SEPARATES = 8
    # What a run of digits may have: seven to forty-one, and three separators between two of them.
    FEWEST = 7
    MOST = 41
    MOST_SEPARATORS = 3
    MOST_EXTENSION = 6
    MOST_STEPS = 32
    MOST_FORMS = 32
    # So many places of a form are looked at before it is tried.
    PLACES = 4
    # A group has a digit at least, and an extension is one more.
    MOST_GROUPS = 64
    # As in numbers.py and patterns.py: how far from a number its words may stand.
    LEADS = 2
    CONTEXT_BEFORE = 64
    CONTEXT_AFTER = 24

cdef unsigned char KIND[256]
memset(KIND, 0, 256)
for _character in range(128):
    KIND[_character] = (
        (DIGIT if chr(_character).isdigit() else 0)
        | (WORD if chr(_character).isalnum() or chr(_character) == "_" else 0)
        | (HEX if chr(_character) in "0123456789abcdefABCDEF" else 0)
        | (SEPARATES if chr(_character) in " ()./-" else 0)
    )


cdef class Flat:
    """A text as one byte a character: ASCII as it is, anything else as 255. It keeps what it points to alive."""

    cdef Text data
    cdef Py_ssize_t size
    cdef unsigned char* copy
    cdef str text

    def __cinit__(self, str text not None):
        cdef Py_ssize_t at
        cdef unsigned int character
        cdef int kind = PyUnicode_KIND(text)
        cdef void* data = PyUnicode_DATA(text)
        self.text = text
        self.size = PyUnicode_GET_LENGTH(text)
        self.copy = NULL
        if text.isascii():
            self.data = <Text>data
            return
        self.copy = <unsigned char*>PyMem_Malloc(self.size)
        if self.copy == NULL:
            raise MemoryError
        for at in range(self.size):
            character = PyUnicode_READ(kind, data, at)
            self.copy[at] = <unsigned char>character if character < 128 else 255
        self.data = self.copy

    def __dealloc__(self):
        PyMem_Free(self.copy)


cdef inline bint goes_on(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """(?=\\w|[\\-.]\\w)"""
    if at >= size:
        return False
    if KIND[data[at]] & WORD:
        return True
    return (data[at] == c"-" or data[at] == c".") and at + 1 < size and KIND[data[at + 1]] & WORD != 0


cdef inline bint begins(Text data, Py_ssize_t at) noexcept nogil:
    """(?<!\\w.)(?<!\\d[.\\-].)(?<![0-9A-Fa-f]{2}-.), for the digit here."""
    cdef unsigned char before
    if at == 0:
        return True
    before = data[at - 1]
    if KIND[before] & WORD:
        return False
    if at >= 2 and (before == c"." or before == c"-") and KIND[data[at - 2]] & DIGIT:
        return False
    return not (at >= 3 and before == c"-" and KIND[data[at - 2]] & HEX and KIND[data[at - 3]] & HEX)


cdef inline Py_ssize_t extension(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Where ` ?(?:x|ext\\.?) ?\\d{1,6}` ends that begins here; -1 when it does not."""
    cdef int digits = 0
    if at < size and data[at] == c" ":
        at += 1
    if at < size and data[at] == c"x":
        at += 1
    elif at + 2 < size and data[at] == c"e" and data[at + 1] == c"x" and data[at + 2] == c"t":
        at += 3
        if at < size and data[at] == c".":
            at += 1
    else:
        return -1
    if at < size and data[at] == c" ":
        at += 1
    while at < size and digits < MOST_EXTENSION and KIND[data[at]] & DIGIT:
        at += 1
        digits += 1
    return at if digits else -1


cdef Py_ssize_t run_end(Text data, Py_ssize_t start, Py_ssize_t size) noexcept nogil:
    """Where the longest run of digits ends that begins here; -1 when none does."""
    cdef Py_ssize_t at = start + 1
    cdef Py_ssize_t ahead, last = -1, longest
    cdef int digits = 1
    while True:
        ahead = at
        while ahead < size and ahead - at < MOST_SEPARATORS and KIND[data[ahead]] & SEPARATES:
            ahead += 1
        if digits == MOST or ahead >= size or not KIND[data[ahead]] & DIGIT:
            break
        if ahead > at and digits >= FEWEST and not goes_on(data, at, size):
            last = at
        at = ahead + 1
        digits += 1
    if digits < FEWEST:
        return -1
    longest = extension(data, at, size)
    if longest >= 0 and not goes_on(data, longest, size):
        return longest
    return at if not goes_on(data, at, size) else last


cdef inline bint is_digit(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    return at < size and KIND[data[at]] & DIGIT != 0


cdef inline bint is_from(Text data, Py_ssize_t at, Py_ssize_t size, unsigned char least) noexcept nogil:
    """Whether there is a digit here that is as great as this one."""
    return at < size and least <= data[at] <= c"9"


cdef inline bint is_one_of(Text data, Py_ssize_t at, Py_ssize_t size, const char* characters) noexcept nogil:
    return at < size and data[at] != 0 and strchr(characters, data[at]) != NULL


cdef inline bint is_inside(Text data, Py_ssize_t at) noexcept nogil:
    """phones.is_inside, for text before it that is ASCII; else it may say no."""
    if at < 2 or (data[at - 1] != c"." and data[at - 1] != c"-"):
        return False
    if KIND[data[at - 2]] & DIGIT:
        return True
    return at >= 3 and data[at - 1] == c"-" and KIND[data[at - 2]] & HEX != 0 and KIND[data[at - 3]] & HEX != 0


cdef bint may_have_zero_form(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Whether a number with 00 and a country, or of a country's own form, may begin with the zero here."""
    cdef int more = 0
    at += 1
    if at < size and data[at] == c"0":
        at += 1
        if is_one_of(data, at, size, b" -"):
            at += 1
        if not is_from(data, at, size, c"1"):
            return False
        while is_digit(data, at, size):
            at += 1
    elif is_from(data, at, size, c"1"):
        at += 1
        while more < 3 and is_digit(data, at, size):
            at += 1
            more += 1
    else:
        return False
    return at < size and KIND[data[at]] & SEPARATES != 0


cdef inline bint is_three(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """[2-9]\\d\\d"""
    return is_from(data, at, size, c"2") and is_digit(data, at + 1, size) and is_digit(data, at + 2, size)


cdef bint has_north_american_form(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    cdef int more
    if data[at] == c"1" and is_one_of(data, at + 1, size, b"-. "):
        at += 2
    if at < size and data[at] == c"(":
        if not is_three(data, at + 1, size) or not is_one_of(data, at + 4, size, b")"):
            return False
        at += 5
        if at < size and data[at] == c" ":
            at += 1
    elif is_three(data, at, size) and is_one_of(data, at + 3, size, b"-."):
        at += 4
    else:
        return False
    if not is_three(data, at, size) or not is_one_of(data, at + 3, size, b"-. "):
        return False
    for more in range(4, 8):
        if not is_digit(data, at + more, size):
            return False
    return True


cdef bint may_speak(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Whether phones._SPEAKING may match here; never wrong when it says no."""
    cdef Py_ssize_t first = at + 1 if data[at] == c"(" else at
    if first >= size:
        return False
    if data[first] == c"+":
        return True
    if data[first] == c"0":
        return may_have_zero_form(data, first, size)
    return has_north_american_form(data, at, size)


cdef class Runs:
    """Runs of digits in which numbers.py may find something, and where in them.

    Most are timestamps, versions and fractions: what no shape and no form of a telephone number agrees with is not told.
    """

    # A tree of the shapes: for each state and character the next state, 0 where no shape goes on.
    cdef unsigned short* next
    # For each state the rules whose shape ends there, a bit each.
    cdef unsigned long long* rules
    cdef unsigned char column[256]
    cdef int columns
    cdef bint with_phones

    def __cinit__(self):
        self.next = NULL
        self.rules = NULL

    def __init__(self, shapes, bint with_phones):
        """shapes: pairs of a shape, every digit a 9, and the position of its rule. with_phones: look for those, too."""
        cdef int state, column, states
        self.with_phones = with_phones
        shapes = list(shapes)
        letters = sorted({character for shape, _ in shapes for character in shape.encode("ascii")})
        if any(not 0 <= rule < 64 for _, rule in shapes):
            raise ValueError("more than 64 rules")
        states = 1 + sum(len(shape) for shape, _ in shapes)
        if states > 65535:
            raise OverflowError("too many shapes for one table")
        self.columns = len(letters) + 1
        memset(self.column, 0, 256)
        for column, character in enumerate(letters, start=1):
            self.column[character] = column
            if character == c"9":
                for digit in b"012345678":
                    self.column[digit] = column
        self.next = <unsigned short*>PyMem_Calloc(states * self.columns, sizeof(unsigned short))
        self.rules = <unsigned long long*>PyMem_Calloc(states, sizeof(unsigned long long))
        if self.next == NULL or self.rules == NULL:
            raise MemoryError
        states = 1
        for shape, rule in shapes:
            state = 0
            for character in shape.encode("ascii"):
                column = state * self.columns + self.column[<unsigned char>character]
                if not self.next[column]:
                    self.next[column] = states
                    states += 1
                state = self.next[column]
            self.rules[state] |= 1ull << <int>rule

    def __dealloc__(self):
        PyMem_Free(self.next)
        PyMem_Free(self.rules)

    def find(self, str text not None, list calling not None, possible):
        """The runs in which something may be found.

        calling: where words stand that speak of calling, ascending. possible: positions of the rules whose words are in
        the text. For each run: where its groups of digits are, `calling` if it stands near such a word and else nothing,
        and, a bit for each group, whether a number of a rule, and whether a telephone number may begin there.
        """
        cdef Flat flat = Flat(text)
        cdef Text data = flat.data
        cdef Py_ssize_t size = flat.size, at = 0, end
        cdef unsigned long long rules = 0
        for rule in possible:
            rules |= 1ull << <int>rule
        found = []
        while at < size:
            if not KIND[data[at]] & DIGIT or not begins(data, at):
                at += 1
                continue
            end = run_end(data, at, size)
            if end < 0:
                at += 1
                continue
            self.look(data, at, end, size, calling, rules, found)
            at = end
        return found

    cdef look(
        self, Text data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t size, list calling, unsigned long long rules, list found
    ):
        """Adds the run to those found when there may be something in it."""
        cdef Py_ssize_t starts[MOST_GROUPS]
        cdef Py_ssize_t ends[MOST_GROUPS]
        cdef Py_ssize_t at = start
        cdef unsigned long long numbers = 0, phones = 0
        cdef bint is_called = self.with_phones and is_near(calling, start - LEADS, end)
        cdef int group = 0, index
        while at < end:
            if not KIND[data[at]] & DIGIT:
                at += 1
                continue
            starts[group] = at
            while at < end and KIND[data[at]] & DIGIT:
                at += 1
            ends[group] = at
            if not is_inside(data, starts[group]) and self.may_be_number(data, starts[group], end, size, rules):
                numbers |= 1ull << group
            if self.with_phones and may_be_phone(data, starts[group], at, size, calling if is_called else None):
                phones |= 1ull << group
            group += 1
        if numbers or phones:
            found.append(([(starts[index], ends[index]) for index in range(group)], calling if is_called else (), numbers, phones))

    cdef bint may_be_number(
        self, Text data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t size, unsigned long long rules
    ) noexcept nogil:
        """Whether groups of digits from here on have a shape, and the rest of the run is not the rest of the number."""
        cdef int state = 0
        while at < end:
            state = self.next[state * self.columns + self.column[data[at]]]
            if not state:
                return False
            at += 1
            if self.rules[state] & rules and (at == end or not KIND[data[at]] & DIGIT):
                if not is_one_of(data, at, size, b".-") or not is_digit(data, at + 1, size):
                    return True
        return False


cdef bint is_near(list calling, Py_ssize_t start, Py_ssize_t end):
    """phones.is_near"""
    cdef Py_ssize_t low = 0, high = len(calling), middle
    while low < high:
        middle = (low + high) // 2
        if <Py_ssize_t>calling[middle] < start - CONTEXT_BEFORE:
            low = middle + 1
        else:
            high = middle
    return low < len(calling) and <Py_ssize_t>calling[low] < end + CONTEXT_AFTER


cdef bint may_be_phone(Text data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t size, list calling):
    """Whether phones.phone_at may find one that begins with this group; never wrong when it says no."""
    while start and (data[start - 1] == c"+" or data[start - 1] == c"("):
        start -= 1
    if is_inside(data, start):
        return False
    if calling is not None and is_near(calling, start, end):
        return True
    # As in phones.phone_at: what begins with a plus may be joined to what is before it.
    if start and data[start] != c"+" and is_one_of(data, start - 1, size, b"/=#&_$%"):
        return False
    return may_speak(data, start, size)


cdef struct Step:
    int least
    int most
    unsigned int mask[4]


cdef struct Form:
    int steps
    bint open_end
    bint dot_joins
    Step step[MOST_STEPS]


cdef inline bint has(Step* step, unsigned char character) noexcept nogil:
    return character < 128 and (step.mask[character >> 5] >> (character & 31)) & 1


cdef class Forms:
    """Searches for several forms of fixed places at once; see forms.py, which has the same in Python."""

    cdef Form forms[MOST_FORMS]
    cdef int count
    # For each of the first places and each character, the forms that may have it there, a bit each.
    cdef unsigned int may[PLACES][256]

    def __init__(self, forms):
        cdef int position, index
        memset(self.may, 0, sizeof(self.may))
        if len(forms) > MOST_FORMS or any(len(one.steps) > MOST_STEPS for one in forms):
            raise ValueError(f"more than {MOST_FORMS} forms, or {MOST_STEPS} steps of one")
        self.count = len(forms)
        for position, one in enumerate(forms):
            self.forms[position].steps = len(one.steps)
            self.forms[position].open_end = one.open_end
            self.forms[position].dot_joins = one.dot_joins
            for index, (characters, least, most) in enumerate(one.steps):
                self.forms[position].step[index].least = least
                self.forms[position].step[index].most = most
                memset(self.forms[position].step[index].mask, 0, 16)
                for character in characters.encode("ascii"):
                    self.forms[position].step[index].mask[character >> 5] |= 1u << (character & 31)
            for index, characters in enumerate(first_places(one)):
                for character in characters.encode("ascii"):
                    self.may[index][character] |= 1u << position

    def find(self, str text not None):
        """(position of the form, start, end) for each place that has one, by start; of one form they do not overlap."""
        cdef Flat flat = Flat(text)
        cdef Text data = flat.data
        cdef Py_ssize_t size = flat.size, at, end
        cdef Py_ssize_t after[MOST_FORMS]
        cdef unsigned int left
        cdef int position
        memset(after, 0, sizeof(after))
        found = []
        for at in range(size - PLACES + 1):
            left = self.may[0][data[at]] & self.may[1][data[at + 1]]
            if not left:
                continue
            left &= self.may[2][data[at + 2]] & self.may[3][data[at + 3]]
            if not left or (at and (KIND[data[at - 1]] & WORD or data[at - 1] == c"-")):
                continue
            for position in range(self.count):
                if not (left >> position) & 1 or at < after[position]:
                    continue
                end = matched(&self.forms[position], data, at, size)
                if end >= 0:
                    after[position] = end
                    found.append((position, at, end))
        return found


def first_places(form):
    """Which characters may stand at each of the first places.

    Raises ValueError for a form that may be shorter.
    """
    every = []
    for characters, least, most in form.steps:
        every += [(characters, False)] * least + [(characters, True)] * (most - least)
    if sum(not is_optional for _, is_optional in every) < PLACES:
        raise ValueError(f"a form has at least {PLACES} places")
    here = {0}
    for _ in range(PLACES):
        for index, (_, is_optional) in enumerate(every):
            if index in here and is_optional:
                here.add(index + 1)
        yield "".join({character for index in here for character in every[index][0]})
        here = {index + 1 for index in here}


cdef Py_ssize_t matched(Form* form, Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Where the form ends that begins here; -1 when it does not."""
    cdef int index, times
    if form.dot_joins and at and data[at - 1] == c".":
        return -1
    for index in range(form.steps):
        times = 0
        while times < form.step[index].most and at < size and has(&form.step[index], data[at]):
            at += 1
            times += 1
        if times < form.step[index].least:
            return -1
    if form.open_end or at >= size:
        return at
    if KIND[data[at]] & WORD or data[at] == c"-":
        return -1
    if form.dot_joins and data[at] == c"." and at + 1 < size and KIND[data[at + 1]] & DIGIT:
        return -1
    return at


def may_have_ipv6(str text not None):
    """[0-9A-Fa-f]:(?:[0-9A-Fa-f]{1,4}:){2}|[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{1,4}:)?:"""
    cdef Flat flat = Flat(text)
    cdef Text data = flat.data
    cdef Py_ssize_t size = flat.size, at
    cdef Text colon = <Text>memchr(data, c":", size)
    while colon != NULL:
        at = colon - data
        if at and KIND[data[at - 1]] & HEX and ends_group(data, at + 1, size) >= 0:
            if at >= 3 and KIND[data[at - 2]] & HEX and KIND[data[at - 3]] & HEX:
                if data[at + 1] == c":" or is_one_of(data, ends_group(data, at + 1, size) + 1, size, b":"):
                    return True
            if data[at + 1] != c":":
                at = ends_group(data, at + 1, size)
                if ends_group(data, at + 1, size) > at + 1:
                    return True
        colon = <Text>memchr(colon + 1, c":", size - (colon - data) - 1)
    return False


cdef inline Py_ssize_t ends_group(Text data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Where the colon is behind at most four hexadecimal digits that may stand here; -1 when there is none."""
    cdef int digits = 0
    while digits < 4 and at < size and KIND[data[at]] & HEX:
        at += 1
        digits += 1
    return at if at < size and data[at] == c":" else -1


cdef class Keywords:
    """Which of many keywords occur, in whatever case: an automaton (Aho and Corasick, 1975) as one table."""

    cdef unsigned short* table
    cdef unsigned char column[256]
    cdef unsigned char* ends
    cdef int columns
    cdef list owners

    def __cinit__(self):
        self.table = NULL
        self.ends = NULL

    def __init__(self, keywords):
        """keywords: pairs of a keyword, in lower case and ASCII, and the position to tell when it occurs.

        Raises OverflowError for more letters altogether than a table can have states.
        """
        children, outputs = [{}], [set()]
        for keyword, position in keywords:
            state = 0
            for character in keyword.encode("ascii"):
                if character not in children[state]:
                    children[state][character] = len(children)
                    children.append({})
                    outputs.append(set())
                state = children[state][character]
            outputs[state].add(position)
        if len(children) > 65535:
            raise OverflowError("too many keywords for one table")
        self._fill(children, outputs)

    cdef _fill(self, list children, list outputs):
        cdef int state, column
        letters = sorted({character for row in children for character in row})
        self.columns = len(letters) + 1
        memset(self.column, 0, 256)
        for column, character in enumerate(letters, start=1):
            self.column[character] = column
            self.column[ord(chr(character).upper())] = column
        self.table = <unsigned short*>PyMem_Malloc(len(children) * self.columns * sizeof(unsigned short))
        self.ends = <unsigned char*>PyMem_Malloc(len(children))
        if self.table == NULL or self.ends == NULL:
            raise MemoryError
        memset(self.table, 0, len(children) * self.columns * sizeof(unsigned short))
        fallen = [0] * len(children)
        queue = list(children[0].values())
        for character, child in children[0].items():
            self.table[self.column[character]] = child
        for state in queue:  # grows: breadth first, so that where a state falls back to is complete already
            outputs[state] |= outputs[fallen[state]]
            for column in range(self.columns):
                self.table[state * self.columns + column] = self.table[<int>fallen[state] * self.columns + column]
            for character, child in children[state].items():
                fallen[child] = self.table[<int>fallen[state] * self.columns + self.column[character]]
                self.table[state * self.columns + self.column[character]] = child
                queue.append(child)
        self.owners = [tuple(one) for one in outputs]
        for state in range(len(children)):
            self.ends[state] = 1 if outputs[state] else 0

    def __dealloc__(self):
        PyMem_Free(self.table)
        PyMem_Free(self.ends)

    def find(self, str text not None):
        """The set of the positions whose keywords occur."""
        cdef Flat flat = Flat(text)
        cdef Text data = flat.data
        cdef Py_ssize_t at
        cdef int state = 0
        cdef unsigned char* seen = <unsigned char*>PyMem_Malloc(len(self.owners))
        if seen == NULL:
            raise MemoryError
        memset(seen, 0, len(self.owners))
        found = set()
        try:
            for at in range(flat.size):
                state = self.table[state * self.columns + self.column[data[at]]]
                if self.ends[state] and not seen[state]:
                    seen[state] = 1
                    found.update(self.owners[state])
        finally:
            PyMem_Free(seen)
        return found
