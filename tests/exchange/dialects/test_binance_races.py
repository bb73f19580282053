"""What Binance spot tells of an order while its cancel is on its way."""

from mlthon.engine.clock import MS
from mlthon.exchange.dialects.binance_spot_rows import execution_report
from tests.exchange.dialects.test_binance import LIMIT, Rig


def test_a_report_bears_the_cancels_id_only_once_the_order_is_cancelled() -> None:
    rig = Rig(usdm=False)
    rig.json("POST", "/api/v3/order", {**LIMIT, "newClientOrderId": "mine"})
    order = rig.account.by_client("mine")
    assert order is not None
    order.extra["cancel_id"] = "theirs"  # as the dialect notes it when the cancel is asked for
    before = execution_report(order, None, rig.clock.now)
    assert (before["x"], before["c"], before["C"]) == ("NEW", "mine", "")
    rig.account.cancel(order)
    rig.run(10 * MS)
    after = execution_report(order, None, rig.clock.now)
    assert (after["x"], after["c"], after["C"]) == ("CANCELED", "theirs", "mine")
