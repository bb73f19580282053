"""Operating a run from outside: Telegram, webhooks, the command line, metrics.

None of it may ever slow or stop trading, so next to nothing of it lives in the engine's process: the control service,
a Unix socket that answers questions and carries actions out (`contract` says which), and the outbox, in which a
strategy's messages wait. Telegram and the web server live in a process of their own (`python -m mlthon.ops.process`),
started and watched by the run, and reach the engine through that socket as the command line does:

    engine process      control (what can be asked and done) ─ control service (the socket) ─ audit, outbox (files)
                                              │
    operations process  telegram, web (webhooks, streams, metrics)        python -m mlthon ctl …

    contract, control   what can be asked and done, and who does it, in the engine's turn; audit writes it down
    service, client     the two ends of the socket; peer: who is at the other one; place: where the files lie
    keeper, process     the two ends of the operations process; pipe_log: its log
    outbox, letters     how messages get there: the engine's end, and the files with whoever reads them
    killed              what came of a kill
    checkpoints         has no writer of a file wait for the disk; private: whose files are used at all
    metrics, lookout    figures for Prometheus; what the owner of a run should be told
    assembly            puts it together for a run; bots: the doors of ProfitView bots; books: what strategies made

An operations process that hangs or dies costs the engine nothing and is started again; an engine that hangs is reported
by the operations process, and `/kill` reaches the guard process all the same.
"""
