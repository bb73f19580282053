"""A live gateway under the engine: what a strategy is told when a request about its order goes unanswered."""

from mlthon.basics.defs import Exchange, GtwStatus, OrderStatus, Side
from mlthon.engine.clock import SECOND
from mlthon.venue.facts import Reply
from mlthon.venue.live_gateway import LiveGateway
from mlthon.venue.wire import Failure, Loss
from tests.engine.rig import Recorder
from tests.engine.rig import Rig as EngineRig

from .scripted import BTC, Rig, fill, order_fact


class Live:
    """The engine's rig with a scripted exchange in the place of its scripted gateway."""

    def __init__(self) -> None:
        self.strategy = Recorder()
        self.engine = EngineRig(self.strategy)
        self.venue = Rig(start=False)
        self.venue.clock = self.venue.edge.clock = self.engine.clock
        port = self.engine.engine.port(Exchange.Bybit, "main")
        self.gateway = LiveGateway(self.venue.codec, self.venue.edge, self.engine.clock, port)
        self.venue.gateway = port.gateway = self.gateway
        self.venue.begin()

    def buy(self) -> str:
        """Buy 10 lots; the order's wire id."""
        env = self.strategy.env
        lot, tick = BTC.qty_scale.values, BTC.price_scale.values
        env.send_new_order(1, Exchange.Bybit, BTC, Side.Buy, tick[1000], lot[10])
        return [each.split()[1] for each in self.venue.edge.targets() if each.startswith("new ")][-1]

    def statuses(self) -> list[OrderStatus]:
        return [args[7] for args in self.strategy.of("on_order_status")]


def test_a_strategy_hears_of_an_unknown_order_and_that_it_is_open():
    live = Live()
    assert live.strategy.of("on_gateway_status")[-1][1] is GtwStatus.ReadyToTrade
    wire_id = live.buy()
    live.venue.wait(1)
    live.venue.edge.tells(fill("1", 4, wire_id))
    live.venue.says["cancel"] = Failure(Loss.NO_ANSWER, "reset")
    live.venue.says["order_status"] = [order_fact(wire_id, OrderStatus.PartiallyFilled, filled=4)]
    live.strategy.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    live.venue.wait(1)
    assert live.statuses() == [OrderStatus.Unknown]
    live.venue.wait(20)
    assert live.statuses() == [OrderStatus.Unknown, OrderStatus.PartiallyFilled]
    assert len(live.strategy.of("on_cancel_order_reject")) == 1
    live.venue.says["cancel"] = Reply(accepted=True)
    live.strategy.env.send_cancel_order(Exchange.Bybit, BTC, 1)
    live.venue.wait(1)
    live.venue.edge.tells(order_fact(wire_id, OrderStatus.Cancelled, filled=4))
    live.venue.edge.tells(fill("2", 1, wire_id))
    assert [name for name in live.strategy.names() if "order" in name][-3:] == [
        "on_cancel_order_ack",
        "on_order_cancelled",
        "on_order_execution",
    ]


def test_an_order_may_be_sent_from_the_status_callback():
    live = Live()
    live.venue.edge.loses()
    sent: list[int] = []

    def send(exchange, status, detail):
        if status is GtwStatus.ReadyToTrade:
            sent.append(live.engine.clock.now)
            live.buy()

    live.strategy.then["on_gateway_status"] = send
    live.venue.edge.opens()
    live.venue.edge.tells(*live.venue.ready())
    live.venue.wait(2)
    assert len(sent) == 1
    assert len(live.strategy.of("on_new_order_ack")) == 1
    assert live.engine.clock.now - sent[0] < 3 * SECOND
