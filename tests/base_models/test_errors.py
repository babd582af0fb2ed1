"""Faults of the machine are told from faults of the data, and say what helps."""

import copy
import errno
import os

import pytest

from base_models.errors import MachineFault, OutOfSpace, machine_fault

ALWAYS = ("EMFILE", "ENFILE", "EIO", "ESTALE", "ENOMEM", "ENOSPC", "EDQUOT")
WHEN_WRITTEN = ("EROFS", "EACCES", "EPERM", "EFBIG")


def error_of(name: str) -> OSError:
    """An error as the system raises it."""
    code = getattr(errno, name)
    return OSError(code, os.strerror(code), "/tmp/.hidden.tmp")


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("n_bytes", [None, 1234])
def test_a_fault_of_the_machine_names_the_path_the_bytes_and_the_cure(name, n_bytes):
    fault = machine_fault(error_of(name), "/data/a.wav", n_bytes=n_bytes)
    assert isinstance(fault, MachineFault)
    assert isinstance(fault, OSError)
    assert fault.exit_code == 5
    message = str(fault)
    assert "/data/a.wav" in message
    assert ".hidden.tmp" not in message
    assert ("1,234 bytes" in message) == (n_bytes is not None)
    assert message.endswith("run the same command again.")
    assert len(message) <= 500
    assert isinstance(fault, OutOfSpace) == (name in ("ENOSPC", "EDQUOT"))


@pytest.mark.parametrize("name", WHEN_WRITTEN)
def test_what_may_not_be_written_is_a_fault_of_the_machine_alone_when_written(name):
    fault = machine_fault(error_of(name), "out/a.json", n_bytes=7)
    assert f"out/a.json: {os.strerror(getattr(errno, name))}" in str(fault)
    assert str(fault).endswith("run the same command again.")
    assert "No space" not in str(fault)
    assert machine_fault(error_of(name), "a.wav") is None


@pytest.mark.parametrize("name", ["ENOENT", "EISDIR", "ENOTDIR", "ELOOP", "EINVAL"])
def test_a_file_that_is_not_there_or_no_file_is_a_fault_of_the_data(name):
    assert machine_fault(error_of(name), "a.wav") is None
    assert machine_fault(error_of(name), "a.wav", n_bytes=1) is None


def test_memory_that_ran_out_is_a_fault_of_the_machine_and_a_bad_value_is_not():
    assert "a.wav: Cannot allocate memory" in str(machine_fault(MemoryError(), "a.wav"))
    assert str(machine_fault(MemoryError())).startswith("The machine failed: ")
    assert machine_fault(ValueError("damaged"), "a.wav") is None


def test_a_fault_that_is_one_already_stays_as_it_is_also_in_another_process():
    fault = machine_fault(error_of("EIO"), "a.wav")
    assert machine_fault(fault, "elsewhere") is fault
    # As it travels between processes: made again from what it was made from.
    assert str(copy.copy(fault)) == str(fault)


def test_without_a_path_the_one_that_the_error_names_is_said():
    fault = machine_fault(OSError(errno.EIO, "Input/output error", "b.wav"))
    assert "at b.wav:" in str(fault)
