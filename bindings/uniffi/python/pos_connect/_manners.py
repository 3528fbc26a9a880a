"""What a generator for all languages does not know of this one: how things print, close and travel.

Every function here takes a generated class and teaches it; ``__init__.py``, which is generated too, calls
them for each. No name of the surface stands here.
"""

import abc
import contextvars
import functools
import itertools
import os
import threading

_MASK = "***"


def shows(record, masked=()):
    """Prints its fields, and of those that are masked only whether they are there."""

    def show(self):
        fields = (f"{name}={_shown(name, value, masked)}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({', '.join(fields)})"

    record.__repr__ = record.__str__ = show


def _shown(name, value, masked):
    return _MASK if name in masked and value is not None else repr(value)


def raises(error, text, fields):
    """Prints its sentence. A pool of processes hands errors on by ``pickle``, which calls the class
    with ``args``: those are not what this one is made of."""

    def show(self):
        return str(getattr(self, text))

    def show_all(self):
        told = (f"{name}={getattr(self, name)!r}" for name in fields)
        return f"{type(self).__qualname__}({', '.join(told)})"

    def reduce(self):
        return type(self), tuple(getattr(self, name) for name in fields)

    error.__str__, error.__repr__, error.__reduce__ = show, show_all, reduce


def abstract(interface, methods):
    """The interface as a class that cannot be made while a method is missing."""
    body = {"__doc__": interface.__doc__, "__module__": interface.__module__}
    for name in methods:
        body[name] = abc.abstractmethod(_copy(getattr(interface, name)))
    return abc.ABCMeta(interface.__name__, (interface,), body)


def _copy(function):
    """One of its own to put the mark on."""

    @functools.wraps(function)
    def method(self, *arguments):
        return function(self, *arguments)

    return method


def closes(connection):
    """``with`` closes it."""

    def enter(self):
        return self

    def leave(self, kind, error, trace, /):
        self.close()

    connection.__enter__, connection.__exit__ = enter, leave


def closes_async(connection):
    """``async with`` closes it."""

    async def enter(self):
        return self

    async def leave(self, kind, error, trace, /):
        self.close()

    connection.__aenter__, connection.__aexit__ = enter, leave


def checks(made):
    """A bool is a bool and no number, and a number no bool: UniFFI takes whatever Python takes for one, and what it
    writes of that is another value, or ends in the library or in ``struct``. What is wrong in a record is told with
    its field."""
    whole = made._UniffiConverterPrimitiveInt
    check_index = whole.check_lower.__func__

    def check_whole(cls, value):
        if isinstance(value, bool):
            raise TypeError("'bool' object cannot be interpreted as an integer")
        check_index(cls, value)

    def check_bool(value):
        if not isinstance(value, bool):
            raise TypeError(f"must be bool, not {type(value).__name__}")

    whole.check_lower = classmethod(check_whole)
    made._UniffiFfiConverterBoolean.check_lower = staticmethod(check_bool)
    for name, converter in vars(made).items():
        if name.startswith("_UniffiFfiConverterType") and "check_lower" in vars(converter):
            converter.check_lower = staticmethod(_naming(converter.check_lower))


def _naming(check):
    def check_and_name(value):
        try:
            check(value)
        except (TypeError, ValueError):
            # Once more, to see where: what is right is not slowed down.
            fields = _Fields(value)
            try:
                check(fields)
            except (TypeError, ValueError) as wrong:
                if fields.last is not None:
                    raise type(wrong)(f"{fields.last}: {wrong}") from None
            raise

    return check_and_name


class _Fields:
    """What is asked of it, it asks of another, and knows by what name last."""

    def __init__(self, of):
        self.of, self.last = of, None

    def __getattr__(self, name):
        self.last = name
        return getattr(self.of, name)


def forks(made):
    """A child that was forked may find a map of UniFFI's locked by a thread that only its parent has: it takes a
    fresh lock for each. Of a change that was half done there, no more than a number is lost here.

    A collector of garbage or the handler of a signal may come in the middle of a change and make another: the same
    thread may lock twice, and no number is given twice."""
    places = [made, *(thing for thing in vars(made).values() if isinstance(thing, type))]
    values = [value for place in places for value in vars(place).values()]
    maps = [value for value in values if isinstance(value, made._UniffiHandleMap)]
    numbers = itertools.count(made._UNIFFI_HANDLEMAP_INITIAL, made._UNIFFI_HANDLEMAP_DELTA)

    def unlock():
        for one in maps:
            one._lock = threading.RLock()

    def insert(self, value):
        number = next(numbers)
        self._map[number] = value
        return number

    unlock()
    made._UniffiHandleMap._insert = insert
    os.register_at_fork(after_in_child=unlock)


# What a callback of the host's was stopped by, for the verb that called it.
_stop = contextvars.ContextVar("_stop", default=None)


def stops(made):
    """Ctrl-C and a supervisor's word come wherever Python runs, so in a callback of the host's as well. What is no
    `Exception` UniFFI drops there, and takes for the answer what was never written. Here it is a failure of
    the callback, and is raised again once the verb that called has ended."""
    call_host, call = made._uniffi_trait_interface_call_with_error, made._uniffi_rust_call_with_error

    def call_host_or_fail(status, *how):
        try:
            call_host(status, *how)
        except BaseException as stop:
            status.code = made._UniffiRustCallStatus.CALL_UNEXPECTED_ERROR
            status.error_buf = made._UniffiFfiConverterString.lower(type(stop).__name__)
            _stop.set(stop)

    def call_and_stop(error, *what):
        try:
            return call(error, *what)
        finally:
            stop = _stop.get()
            # What has no error only moves octets, for a verb that has one.
            if stop is not None and error is not None:
                _stop.set(None)
                raise stop

    made._uniffi_trait_interface_call_with_error = call_host_or_fail
    made._uniffi_rust_call_with_error = call_and_stop


def at_home(package, things):
    """A traceback names the package, and ``pickle`` looks there."""
    for thing in things:
        thing.__module__ = package
        for variant in list(vars(thing).values()) if isinstance(thing, type) else ():
            if isinstance(variant, type) and issubclass(variant, thing):
                variant.__module__ = package
