"""A market maker in the older form of the API, as real programs are written in it: symbols in place of instrument ids,
arguments under other names, a hook that joins its parameters as a string, half of the callbacks left
out, one that raises, a price negated through an uncalled `to_float`."""

from mlthon.api.istrat_env import MDSub
from mlthon.api.istrategy import IStrategy
from mlthon.basics.defs import (
    TIF,
    Exchange,
    ExecInstructions,
    FeedHandlerStatus,
    GtwStatus,
    InstrumentType,
    OrderType,
    Side,
)
from mlthon.basics.instrument_utils import InstrumentUtils
from mlthon.basics.price import Price
from mlthon.basics.qty import Qty
from mlthon.basics.tick_format import TickFormat
from mlthon.order.books.level_book import LevelBook
from mlthon.order.order_mgr import OrderMgr
from mlthon.TickUnit import TickUnit


class OldForm(IStrategy):
    def __init__(self, cfg):
        self.exchange = Exchange[cfg["exchange"]]
        self.symbol = InstrumentUtils.exch_type_sym_to_instr_name(self.exchange, InstrumentType.Perpetual, "btc-usdt")
        self.qty = cfg.get("qty", 0.0123)
        self.book = LevelBook()
        self.orders = OrderMgr("7")
        self.gtw_ready = False
        self.md_ready = False
        self.fills = 0
        self.position = 0.0
        self.typed = None
        self.ticks = 0
        self.negated = []
        self.gone = 0

    def on_framework_connected(self, strat_env):
        self.env = strat_env
        self.env.setup_timer(200, self.on_timer)
        self.env.add_cmd_hook("Close", self.on_close)
        self.env.login("old_form")

    def on_start(self, params):
        self.env.subscribe_to_market_data(self.exchange, [self.symbol], [MDSub.LevelBook])
        self.env.request_execution_connection(self.exchange, [self.symbol])

    def on_gateway_status(self, exchange, status, detail):
        self.gtw_ready = status == GtwStatus.ReadyToTrade

    def on_feed_handler_status(self, exchange, status, detail):
        self.md_ready = status == FeedHandlerStatus.SnapshotEnd
        if status == FeedHandlerStatus.Connecting:
            self.book.clear()

    def on_add_level(self, exchange, symbol, side, level_id, price, qty, recv_ts):
        self.book.add_lvl(level_id, side, price, qty)

    def on_modify_level(self, exchange, product, side, level_id, qty, recv_ts):
        self.book.modify_lvl_qty(level_id, qty)

    def on_delete_level(self, exchange, product, side, level_id, recv_ts):
        self.book.delete_lvl(level_id)

    def on_public_trade(self, exchange, symbol, side, price, qty, exec_ts, recv_ts):
        raise RuntimeError("never asked for")

    def on_timer(self):
        self.ticks += 1
        if not (self.gtw_ready and self.md_ready):
            return True
        _, bid = self.book.get_best_bid_lvl()
        _, ask = self.book.get_best_ask_lvl()
        if bid is None or ask is None:
            return True
        self.negated.append(-bid.get_price().to_float)
        if self.orders.get_num_open_orders() == 0:
            for side, level in ((Side.Buy, bid), (Side.Sell, ask)):
                self.quote(side, level.get_price())
        else:
            for order in list(self.orders.get_open_orders()):
                if self.orders.prepare_cancel_order(client_id=order.get_client_id()):
                    self.env.send_cancel_order(self.exchange, self.symbol, order.get_client_id())
        return True

    def quote(self, side, price):
        shift = 0.04 if side == Side.Buy else -0.04
        rounded = (
            TickFormat.price_down_from_float(price.to_float() + shift, tick_size=0.1, tick_unit=TickUnit.Cent)
            if side == Side.Buy
            else TickFormat.price_up_from_float(price.to_float() + shift, tick_size=0.1, tick_unit=TickUnit.Cent)
        )
        qty = TickFormat.qty_down_from_float(self.qty, tick_size=0.001, tick_unit=TickUnit.Lot)
        order = self.orders.prepare_new_order(
            symbol=self.symbol, side=side, price=rounded, qty=qty, exec_instr=ExecInstructions.Unset,
            order_type=OrderType.Limit, tif=TIF.GTC, nullable_attachment=None,
        )  # fmt: skip
        if order is None:
            return
        numbers = (rounded, qty) if side == Side.Buy else (rounded.to_str(), qty.to_str())
        self.env.send_new_order(
            client_id=order.get_client_id(), exchange=self.exchange, symbol=self.symbol, side=side, price=numbers[0],
            qty=numbers[1], exec_instr=ExecInstructions.Unset, ord_type=OrderType.Limit, time_in_force=TIF.GTC,
        )  # fmt: skip

    def on_new_order_ack(
        self, exchange, client_id, exchange_id, symbol, side, price, qty, leaves_qty, order_type, tif, exec_instr
    ):
        self.orders.apply_new_order_ack(
            client_id=client_id, exchange_id=exchange_id, price=price, leaves_qty=leaves_qty
        )
        assert isinstance(price, Price)
        assert isinstance(qty, Qty)

    def on_new_order_reject(self, exchange, client_id, code, reason):
        self.orders.apply_new_order_reject(client_id=client_id)

    def on_cancel_order_ack(self, exchange, client_id):
        self.orders.apply_cancel_order_ack(client_id=client_id)

    def on_cancel_order_reject(self, exchange, client_id, code, reason):
        self.orders.apply_cancel_order_reject(client_id=client_id)

    def on_order_cancelled(self, exchange, client_id, unsolicited, engine_ts, recv_ts, code, reason):
        self.orders.apply_order_cancelled(client_id=client_id)
        self.gone += 1

    def on_order_execution(self, exchange, client_id, side, price, fill_qty, leaves_qty, exec_ts, recv_ts):
        self.fills += 1
        self.position += fill_qty.to_float() if side == Side.Buy else -fill_qty.to_float()
        self.orders.apply_order_execution(client_id=client_id, fill_qty=fill_qty, nullable_leaves_qty=leaves_qty)

    def on_strat_params_update(self, params):
        raise KeyError("qty")

    def on_close(self, params):
        self.typed = " reason:" + params

    def on_stop(self, params):
        self.gtw_ready = False
        for order in self.orders.get_open_orders():
            if self.orders.prepare_cancel_order(client_id=order.get_client_id()):
                self.env.send_cancel_order(self.exchange, self.symbol, order.get_client_id())
        self.env.send_stop_ack()
