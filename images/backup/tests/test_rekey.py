"""The passwords of a repository change while it is in use."""

from conftest import PASSWORD, Bed, write


def opens(bed: Bed, password: str) -> bool:
    file = write(bed.folder / "tried", password)
    process = bed.start("list", RESTIC_PASSWORD_FILE=str(file))
    process.communicate()
    return process.returncode == 0


def test_both_passwords_open_the_repository_until_the_old_one_is_shut_out(backed_up: Bed) -> None:
    write(backed_up.folder / "password.next", "new-password\n")
    assert backed_up.run("rekey") == [{"added": True, "removed": False}]
    assert opens(backed_up, PASSWORD) and opens(backed_up, "new-password")
    assert backed_up.run("rekey") == [{"added": False, "removed": False}]

    (backed_up.folder / "password.next").rename(backed_up.folder / "password")
    write(backed_up.folder / "password.previous", PASSWORD)
    assert backed_up.run("rekey") == [{"added": False, "removed": True}]
    assert opens(backed_up, "new-password") and not opens(backed_up, PASSWORD)
    assert backed_up.run("rekey") == [{"added": False, "removed": False}]
    assert backed_up.names()


def test_without_a_repository_there_is_nothing_to_change(bare_bed: Bed) -> None:
    write(bare_bed.folder / "password.next", "new-password")
    assert bare_bed.run("rekey") == [{"added": False, "removed": False}]
