from profitview import Link


class Signals(Link):
    def quote_update(self, src, sym, data):
        bid, ask = data["bid"][0], data["ask"][0]
        if bid == bid and ask == ask:
            self.signal(src, sym, quote=[bid, ask])
            self.signal(src, "ETHUSD", mid=1)
