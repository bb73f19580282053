"""Synthetic currencies: what is sold of a fiat currency is bought of a coin, both against the dollar. The trade itself
is the one of the platform's document (`document.py`, put beside this file by the test), and its safe form."""

import json

from attrs import asdict
from document import crypto_fiat_trade
from my.venues import ETHEUR, Venue, trade_pair
from profitview import Link, http, logger


class Trading(Link):
    def __init__(self):
        super().__init__()
        self.fx_venue, self.crypto_venue = Venue(self, "OANDA"), Venue(self, "BitMEX")
        self.synthetics = {"ETHEUR": ETHEUR, "TINY": {**ETHEUR, "lot": 0.0001}}
        self.told = {"marks": [self.fx_venue.mark_price("EUR_USD"), self.crypto_venue.mark_price("ETHUSD")]}

    def on_start(self):
        self.told["small"] = crypto_fiat_trade(self, "ETHEUR", "buy", 1)
        self.told["document"] = crypto_fiat_trade(self, "ETHEUR", "buy", 1000)
        self.told["held"] = [self.fx_venue.holding("EUR_USD"), self.crypto_venue.holding("ETHUSD")]
        self.told["pair"] = asdict(self.trade("ETHEUR", "sell", 500))
        # so many contracts that the exchange refuses them: the second leg fails
        self.told["unwound"] = asdict(self.trade("TINY", "buy", 2000))
        self.told["reported"] = asdict(self.trade("TINY", "buy", 2000, on_failure="report"))
        self.told["left"] = [self.fx_venue.holding("EUR_USD"), self.crypto_venue.holding("ETHUSD")]
        logger.info("done")

    def trade(self, symbol, side, quantity, **options):
        """So much of the fiat currency against as many lots of the coin as are worth it."""
        synthetic = self.synthetics[symbol]
        lots = quantity * self.fx_venue.mark_price(synthetic["fx"]) // synthetic["lot"]
        fx = self.fx_venue.leg(synthetic["fx"], "buy" if side == "sell" else "sell", quantity)
        return trade_pair(fx, self.crypto_venue.leg(synthetic["crypto"], side, lots), **options)

    @http.route
    def post_trade(self, data):
        return asdict(self.trade(data["symbol"], data["side"], float(data["quantity"])))

    def on_stop(self):
        print(json.dumps(self.told))
