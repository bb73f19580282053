"""The five signal bots: what `Link.signal` asks for, carried out by strategies of this engine.

params     the parameter table of each type
intents    what a script may say: numbers, pairs, and what is refused
market     one symbol in ticks and lots
orders     what is wanted and what is open -> what to change: pure
keeper     carries such changes out, one at a time for each order
position   the position, its stop loss, take profit and trailing stop
account    what the account says of the position
hours      trading hours
plans      each type: what orders are wanted now
bot        `SignalBot`, the strategy that holds these together
kinds      the table of the types
assembly   the signal bots of a run

Their meaning is in docs/signal-bots.md.
"""
