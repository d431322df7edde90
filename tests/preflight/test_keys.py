"""What a key may do, from where and for whom is judged by the last word of the exchange and by the record of use; what
is not known is not passed."""

from __future__ import annotations

import pytest

from quantlab.settings import Settings
from quantlab.vault import Seen, Vault

from ..vault.kit import PASSWORD, pair, sql
from .kit import change_key, look, passed, settings_in, stated, used, with_key

HOUR_MS = 3_600_000


@pytest.fixture
def keyed(chosen: Settings) -> Settings:
    """Settings of a home with one key that passed its audit just now."""
    with_key(chosen, pair("keyed"), seen=passed())
    return chosen


def locked_by(chosen: Settings, *refusals: str, **seen: object) -> None:
    with_key(chosen, pair("locked"), seen=passed(refusals=refusals, **seen))


def test_a_key_that_passed_lately_passes(keyed: Settings) -> None:
    permissions, addresses = look("no-withdrawal", keyed), look("ip-whitelist", keyed)
    assert permissions.verdict == addresses.verdict == "pass"
    assert "enableSpotAndMarginTrading" in permissions.detail
    assert "only whether" in addresses.detail  # not which addresses


def test_a_key_that_can_move_funds_fails_and_its_addresses_do_not(chosen: Settings) -> None:
    locked_by(chosen, "withdrawals are allowed (enableWithdrawals): who has this key can empty the account")
    assert look("no-withdrawal", chosen).verdict == "fail"
    assert "enableWithdrawals" in look("no-withdrawal", chosen).detail
    assert look("ip-whitelist", chosen).verdict == "unknown"  # the audit as a whole did not pass


def test_a_key_for_every_address_fails_and_its_permissions_do_not(chosen: Settings) -> None:
    locked_by(chosen, "the key works from every address (ipRestrict): who copies it", ip_restricted=False)
    assert look("ip-whitelist", chosen).verdict == "fail"
    assert look("no-withdrawal", chosen).verdict == "unknown"


def test_an_address_that_changed_is_about_addresses(chosen: Settings) -> None:
    locked_by(chosen, "this machine's public address is 203.0.113.9 now and was 203.0.113.7 when the key was audited")
    assert look("ip-whitelist", chosen).verdict == "fail"


@pytest.mark.parametrize("id", ["no-withdrawal", "ip-whitelist"])
def test_what_was_asked_long_ago_or_never_is_not_known(chosen: Settings, id: str) -> None:
    with_key(chosen, pair("old"), label="old", seen=passed(age_ms=2 * HOUR_MS))
    assert look(id, chosen).verdict == "unknown"
    assert look(id, chosen.model_copy(update={"audit_minutes": 180.0})).verdict == "pass"


def test_a_key_never_audited_is_not_known(chosen: Settings) -> None:
    with_key(chosen, pair("never"))
    line = look("no-withdrawal", chosen)
    assert line.verdict == "unknown"
    assert "never audited" in line.detail


def test_on_the_testnet_not_auditable_is_taken(chosen: Settings) -> None:
    seen = Seen("not auditable", passed().checked_ms)
    with_key(chosen, pair("testnet"), environment="testnet", seen=seen)
    testnet = chosen.model_copy(update={"market": "testnet"})
    assert look("no-withdrawal", testnet, "testnet").verdict == "pass"
    assert look("ip-whitelist", testnet, "testnet").verdict == "not applicable"


def test_the_worst_of_several_keys_decides(keyed: Settings) -> None:
    bad = passed(refusals=("margin loans and transfers are allowed (enableMargin)",))
    with_key(keyed, pair("second"), label="Second", seen=bad)
    line = look("no-withdrawal", keyed)
    assert line.verdict == "fail"
    assert '"Paper Trading"' in line.detail
    assert '"Second"' in line.detail


def test_keys_of_another_environment_are_not_judged(chosen: Settings) -> None:
    with_key(chosen, pair("elsewhere"), environment="testnet", seen=Seen("not auditable", passed().checked_ms))
    assert look("no-withdrawal", chosen).verdict == "not applicable"
    assert look("no-withdrawal", chosen, "testnet").verdict == "pass"


class TestDedicated:
    def test_a_statement_and_a_clean_record(self, keyed: Settings) -> None:
        assert look("dedicated-key", keyed).verdict == "fail"  # not stated yet
        stated(keyed, "dedicated", days_ago=1)
        used(keyed, days_ago=0.1)
        assert look("dedicated-key", keyed).verdict == "pass"

    def test_another_machine_or_program_in_the_last_month(self, keyed: Settings) -> None:
        stated(keyed, "dedicated", days_ago=100)
        used(keyed, days_ago=40, machine="elsewhere")
        assert look("dedicated-key", keyed).verdict == "pass"
        used(keyed, days_ago=20, machine="elsewhere")
        line = look("dedicated-key", keyed)
        assert line.verdict == "fail"
        assert "elsewhere" in line.detail
        stated(keyed, "dedicated", days_ago=10)  # after it: that was me
        assert look("dedicated-key", keyed).verdict == "pass"
        used(keyed, days_ago=5, program="borrowed.py")
        assert "borrowed.py" in look("dedicated-key", keyed).detail

    def test_two_keys_for_one_market(self, keyed: Settings) -> None:
        stated(keyed, "dedicated", days_ago=1)
        assert look("dedicated-key", keyed).verdict == "pass"
        with_key(keyed, pair("second"), label="Second", seen=passed())
        assert look("dedicated-key", keyed).verdict == "fail"

    def test_live_needs_a_key(self, chosen: Settings) -> None:
        assert look("dedicated-key", chosen, "paper").verdict == "not applicable"
        assert look("dedicated-key", chosen, "testnet").verdict == "not applicable"
        line = look("dedicated-key", chosen, "live")
        assert line.verdict == "fail"
        assert line.blocks("live")


class TestRecordOfUse:
    def test_it_is_complete(self, keyed: Settings) -> None:
        assert look("record-of-use", keyed).verdict == "pass"

    def test_an_audit_without_an_opening(self, keyed: Settings) -> None:
        with Vault.open(keyed.home, PASSWORD) as vault:
            vault.signer("Paper Trading", "permission audit")
            vault.record_audit("Paper Trading", passed())
        assert look("record-of-use", keyed).verdict == "pass"
        sql(keyed.home, "DELETE FROM key_uses")
        assert look("record-of-use", keyed).verdict == "fail"

    def test_a_key_that_came_from_nowhere(self, keyed: Settings) -> None:
        sql(keyed.home, "DELETE FROM custody")
        line = look("record-of-use", keyed)
        assert line.verdict == "fail"
        assert "how it came here" in line.detail

    def test_a_machine_that_is_new_is_named_and_alerts_only(self, keyed: Settings) -> None:
        used(keyed, days_ago=30, machine="the first")
        used(keyed, days_ago=8, machine="the second")
        assert look("record-of-use", keyed).verdict == "pass"
        used(keyed, days_ago=6, machine="the third")
        line = look("record-of-use", keyed)
        assert line.verdict == "fail"
        assert "the third" in line.detail
        assert "the second" not in line.detail
        assert not line.blocks("live")


def test_a_changed_row_is_not_believed(keyed: Settings) -> None:
    """The vault opens only when rows and sealed documents agree, so a row that was made to look good is an unknown."""
    change_key(keyed, audited_ms=passed().checked_ms, permissions=("enableReading",))
    assert look("no-withdrawal", keyed, ask_exchange=True).verdict != "pass"
    assert look("rollback", keyed).verdict == "fail"


def test_what_rows_say_of_an_earlier_audit_counts_only_when_the_vault_opens(keyed: Settings) -> None:
    closed = settings_in(keyed.root, vault_password=None)
    assert look("no-withdrawal", keyed).verdict == "pass"
    line = look("no-withdrawal", closed)
    assert line.verdict == "unknown"
    assert "password" in line.detail


def test_a_vault_that_was_handed_in_is_not_opened_again_nor_closed(keyed: Settings) -> None:
    closed = settings_in(keyed.root, vault_password=None)
    with Vault.open(keyed.home, PASSWORD) as vault:
        assert look("no-withdrawal", closed, given=vault).verdict == "pass"
        assert vault.secrets()
