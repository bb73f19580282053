"""A seeded market of its own making: `profiles` says what it is like, `generator` draws its order flow, and
`mlthon.exchange.synthetic_flow` carries the flow out on the embedded exchange. `docs/synthetic-market.md` tells how
close it comes to recordings."""
