"""The engine's side of ProfitView bots: pure, no socket and no task in it.

sources    how the platform spells exchanges
listing    one symbol of a bot: its contract here, and its prices and sizes as floats
payloads   what bots are told, field by field
market     market data to bots, and the candles of each market
desk       what is asked of an account beyond what strategies ask; the embedded exchange's answers
venue      one venue of one bot: a strategy of this engine
flow       the tap that tells venues what strategies are not told
host       one bot: its calls, and what it is told
signals    where trading intents go, and the channels that bots share
endpoint   BitMEX's own calls on the embedded exchange
choice     which venues and markets a bot gets
assembly   a run of bots
"""
